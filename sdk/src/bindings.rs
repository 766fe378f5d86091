//! Bindings to the contract in `wit/`.
//!
//! Each exported interface has a world of its own, so that a plugin exports exactly the hooks that it names: the host
//! calls, and pays for, no other.
#![allow(
    missing_docs,
    unused_qualifications,
    unused_imports,
    unsafe_code,
    clippy::all,
    clippy::unwrap_used,
    clippy::panic
)]

/// Everything a plugin may call.
pub mod imports {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package witgate:sdk-imports;
            world imports {
                import witgate:plugin/http@0.1.0;
                import witgate:plugin/log@0.1.0;
                import witgate:plugin/clock@0.1.0;
                import witgate:plugin/kv@0.1.0;
                import witgate:plugin/limiter@0.1.0;
                import witgate:plugin/load@0.1.0;
                import witgate:plugin/crypto@0.1.0;
                import witgate:plugin/metrics@0.1.0;
                import witgate:plugin/random@0.1.0;
                import witgate:plugin/outbound@0.1.0;
                import witgate:plugin/inference@0.1.0;
            }",
        generate_all,
    });
}

pub mod lifecycle {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package witgate:sdk-lifecycle; world lifecycle { export witgate:plugin/lifecycle@0.1.0; }",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "witgate_sdk::bindings::lifecycle",
        generate_all,
    });
}

pub mod on_request {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package witgate:sdk-request; world on-request { export witgate:plugin/on-request-headers@0.1.0; }",
        with: { "witgate:plugin/http@0.1.0": crate::bindings::imports::witgate::plugin::http },
        pub_export_macro: true,
        export_macro_name: "export_on_request",
        default_bindings_module: "witgate_sdk::bindings::on_request",
    });
}

pub mod on_response {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package witgate:sdk-response; world on-response { export witgate:plugin/on-response-headers@0.1.0; }",
        with: { "witgate:plugin/http@0.1.0": crate::bindings::imports::witgate::plugin::http },
        pub_export_macro: true,
        export_macro_name: "export_on_response",
        default_bindings_module: "witgate_sdk::bindings::on_response",
    });
}

pub mod on_request_body {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package witgate:sdk-request-body; world on-request-body { export witgate:plugin/on-request-body@0.1.0; }",
        with: { "witgate:plugin/http@0.1.0": crate::bindings::imports::witgate::plugin::http },
        pub_export_macro: true,
        export_macro_name: "export_on_request_body",
        default_bindings_module: "witgate_sdk::bindings::on_request_body",
    });
}

pub mod on_response_body {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package witgate:sdk-response-body; world on-response-body { export witgate:plugin/on-response-body@0.1.0; }",
        with: { "witgate:plugin/http@0.1.0": crate::bindings::imports::witgate::plugin::http },
        pub_export_macro: true,
        export_macro_name: "export_on_response_body",
        default_bindings_module: "witgate_sdk::bindings::on_response_body",
    });
}

pub mod on_log {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package witgate:sdk-log; world on-log { export witgate:plugin/on-log@0.1.0; }",
        with: { "witgate:plugin/http@0.1.0": crate::bindings::imports::witgate::plugin::http },
        pub_export_macro: true,
        export_macro_name: "export_on_log",
        default_bindings_module: "witgate_sdk::bindings::on_log",
    });
}
