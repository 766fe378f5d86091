//! Types and traits made from the contract in `wit/`.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "plugin",
    imports: {
        "witgate:plugin/inference.score": async | trappable,
        "witgate:plugin/outbound.fetch": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "witgate:plugin/http.request": crate::host::http::RequestHandle,
        "witgate:plugin/http.response-head": crate::host::http::ResponseHandle,
    },
});
