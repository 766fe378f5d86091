//! Turns a plugin into a component.

use crate::bindings::lifecycle::exports::witgate::plugin::lifecycle::{BodyMode, Description, Interest};
use crate::{Error, OnLog, OnRequest, OnRequestBody, OnResponse, OnResponseBody, Plugin, config};

/// Exports a plugin from a `cdylib` crate, with the hooks that are named: `request` for [`crate::OnRequest`],
/// `request_body` for [`crate::OnRequestBody`], `response` for [`crate::OnResponse`], `response_body` for
/// [`crate::OnResponseBody`], `log` for [`crate::OnLog`]. The gateway calls, and pays for, no others.
///
/// ```
/// # use witgate_sdk::{Action, ConfigError, Error, OnRequest, Plugin, Request};
/// # struct MyPlugin;
/// # #[derive(serde::Deserialize)]
/// # struct Config {}
/// # impl Plugin for MyPlugin {
/// #     const NAME: &'static str = "my-plugin";
/// #     const VERSION: &'static str = "1.0.0";
/// #     const SUMMARY: &'static str = "";
/// #     type Config = Config;
/// #     fn configure(_: Config) -> Result<Self, ConfigError> { Ok(Self) }
/// # }
/// # impl OnRequest for MyPlugin {
/// #     fn on_request(&self, _: &Request<'_>, _: bool) -> Result<Action, Error> { Ok(Action::Continue) }
/// # }
/// witgate_sdk::export!(MyPlugin: request);
/// ```
///
/// A hook that the plugin does not implement, or that does not exist, is an error in every build, not just for the
/// component's target:
///
/// ```compile_fail,E0277
/// # use witgate_sdk::{Action, ConfigError, Error, OnRequest, Plugin, Request};
/// # struct MyPlugin;
/// # #[derive(serde::Deserialize)]
/// # struct Config {}
/// # impl Plugin for MyPlugin {
/// #     const NAME: &'static str = "my-plugin";
/// #     const VERSION: &'static str = "1.0.0";
/// #     const SUMMARY: &'static str = "";
/// #     type Config = Config;
/// #     fn configure(_: Config) -> Result<Self, ConfigError> { Ok(Self) }
/// # }
/// # impl OnRequest for MyPlugin {
/// #     fn on_request(&self, _: &Request<'_>, _: bool) -> Result<Action, Error> { Ok(Action::Continue) }
/// # }
/// witgate_sdk::export!(MyPlugin: request, response);
/// ```
#[macro_export]
macro_rules! export {
    ($plugin:ty: $($hook:ident),+ $(,)?) => {
        $($crate::__check_hook!($hook $plugin);)+

        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            static INSTANCE: ::std::sync::OnceLock<$plugin> = ::std::sync::OnceLock::new();

            impl $crate::bindings::lifecycle::exports::witgate::plugin::lifecycle::Guest for Component {
                fn describe() -> $crate::bindings::lifecycle::exports::witgate::plugin::lifecycle::Description {
                    $crate::export_support::description::<$plugin>()
                }

                fn configure(
                    config: ::std::string::String,
                ) -> ::core::result::Result<
                    $crate::bindings::lifecycle::exports::witgate::plugin::lifecycle::Interest,
                    ::std::string::String,
                > {
                    #[allow(unused_variables, reason = "without body hooks there is nothing to say about bodies")]
                    $crate::export_support::configure(&INSTANCE, &config, |plugin, interest| {
                        $($crate::__interest!($hook plugin interest $plugin);)+
                    })
                }
            }
            $crate::bindings::lifecycle::export_lifecycle!(Component with_types_in $crate::bindings::lifecycle);
            $($crate::__export_hook!($hook $plugin);)+
        };
    };
}

/// Has native builds, and so tests, find what is wrong with an export.
///
/// ```compile_fail
/// struct MyPlugin;
/// witgate_sdk::export!(MyPlugin: requst);
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __check_hook {
    (request $plugin:ty) => {
        const _: fn() = $crate::export_support::has_request_hook::<$plugin>;
    };
    (response $plugin:ty) => {
        const _: fn() = $crate::export_support::has_response_hook::<$plugin>;
    };
    (request_body $plugin:ty) => {
        const _: fn() = $crate::export_support::has_request_body_hook::<$plugin>;
    };
    (response_body $plugin:ty) => {
        const _: fn() = $crate::export_support::has_response_body_hook::<$plugin>;
    };
    (log $plugin:ty) => {
        const _: fn() = $crate::export_support::has_log_hook::<$plugin>;
    };
    ($other:ident $plugin:ty) => {
        ::core::compile_error!(::core::concat!(
            "a hook is `request`, `request_body`, `response`, `response_body` or `log`, not `",
            ::core::stringify!($other),
            "`"
        ));
    };
}

/// Says how a body hook wants the body.
#[doc(hidden)]
#[macro_export]
macro_rules! __interest {
    (request_body $instance:ident $interest:ident $plugin:ty) => {
        $interest.request_body = <$plugin as $crate::OnRequestBody>::request_body_mode($instance);
    };
    (response_body $instance:ident $interest:ident $plugin:ty) => {
        $interest.response_body = <$plugin as $crate::OnResponseBody>::response_body_mode($instance);
    };
    ($other:ident $instance:ident $interest:ident $plugin:ty) => {};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (request $plugin:ty) => {
        impl $crate::bindings::on_request::exports::witgate::plugin::on_request_headers::Guest for Component {
            fn handle(
                request: &$crate::bindings::imports::witgate::plugin::http::Request,
                end_of_stream: bool,
            ) -> $crate::Action {
                let plugin = $crate::export_support::instance(&INSTANCE);
                $crate::OnRequest::on_request(plugin, &$crate::Request::new(request), end_of_stream)
                    .unwrap_or_else(|error| $crate::export_support::failed::<$plugin>(&error))
            }
        }
        $crate::bindings::on_request::export_on_request!(Component with_types_in $crate::bindings::on_request);
    };
    (response $plugin:ty) => {
        impl $crate::bindings::on_response::exports::witgate::plugin::on_response_headers::Guest for Component {
            fn handle(
                request: &$crate::bindings::imports::witgate::plugin::http::Request,
                response: &$crate::bindings::imports::witgate::plugin::http::ResponseHead,
                end_of_stream: bool,
            ) -> $crate::ResponseAction {
                let plugin = $crate::export_support::instance(&INSTANCE);
                let (request, response) = ($crate::Request::new(request), $crate::ResponseHead::new(response));
                $crate::OnResponse::on_response(plugin, &request, &response, end_of_stream)
                    .unwrap_or_else(|error| $crate::export_support::failed::<$plugin>(&error))
            }
        }
        $crate::bindings::on_response::export_on_response!(Component with_types_in $crate::bindings::on_response);
    };
    (request_body $plugin:ty) => {
        impl $crate::bindings::on_request_body::exports::witgate::plugin::on_request_body::Guest for Component {
            fn handle(
                request: &$crate::bindings::imports::witgate::plugin::http::Request,
                data: ::std::vec::Vec<u8>,
                end_of_stream: bool,
            ) -> $crate::RequestBodyAction {
                let plugin = $crate::export_support::instance(&INSTANCE);
                $crate::OnRequestBody::on_request_body(plugin, &$crate::Request::new(request), data, end_of_stream)
                    .unwrap_or_else(|error| $crate::export_support::failed::<$plugin>(&error))
            }
        }
        $crate::bindings::on_request_body::export_on_request_body!(
            Component with_types_in $crate::bindings::on_request_body
        );
    };
    (response_body $plugin:ty) => {
        impl $crate::bindings::on_response_body::exports::witgate::plugin::on_response_body::Guest for Component {
            fn handle(
                request: &$crate::bindings::imports::witgate::plugin::http::Request,
                response: &$crate::bindings::imports::witgate::plugin::http::ResponseHead,
                data: ::std::vec::Vec<u8>,
                end_of_stream: bool,
            ) -> $crate::ResponseBodyAction {
                let plugin = $crate::export_support::instance(&INSTANCE);
                let (request, response) = ($crate::Request::new(request), $crate::ResponseHead::new(response));
                $crate::OnResponseBody::on_response_body(plugin, &request, &response, data, end_of_stream)
                    .unwrap_or_else(|error| $crate::export_support::failed::<$plugin>(&error))
            }
        }
        $crate::bindings::on_response_body::export_on_response_body!(
            Component with_types_in $crate::bindings::on_response_body
        );
    };
    (log $plugin:ty) => {
        impl $crate::bindings::on_log::exports::witgate::plugin::on_log::Guest for Component {
            fn handle(
                request: &$crate::bindings::imports::witgate::plugin::http::Request,
                response: ::core::option::Option<&$crate::bindings::imports::witgate::plugin::http::ResponseHead>,
                outcome: $crate::Outcome,
            ) {
                let plugin = $crate::export_support::instance(&INSTANCE);
                let response = response.map($crate::ResponseHead::new);
                $crate::OnLog::on_log(plugin, &$crate::Request::new(request), response.as_ref(), &outcome)
                    .unwrap_or_else(|error| $crate::export_support::failed::<$plugin>(&error))
            }
        }
        $crate::bindings::on_log::export_on_log!(Component with_types_in $crate::bindings::on_log);
    };
    // Told by `__check_hook`.
    ($other:ident $plugin:ty) => {};
}

/// Compiles if the plugin has the hook.
pub fn has_request_hook<P: OnRequest>() {}

/// As [`has_request_hook`].
pub fn has_response_hook<P: OnResponse>() {}

/// As [`has_request_hook`].
pub fn has_request_body_hook<P: OnRequestBody>() {}

/// As [`has_request_hook`].
pub fn has_response_body_hook<P: OnResponseBody>() {}

/// As [`has_request_hook`].
pub fn has_log_hook<P: OnLog>() {}

/// What the plugin says of itself.
pub fn description<P: Plugin>() -> Description {
    Description {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        summary: P::SUMMARY.to_owned(),
        config_schema: P::CONFIG_SCHEMA.map(str::to_owned),
    }
}

/// Makes the plugin of this instance; `say` puts in how its body hooks want bodies.
pub fn configure<P: Plugin>(
    instance: &std::sync::OnceLock<P>,
    json: &str,
    say: impl FnOnce(&P, &mut Interest),
) -> Result<Interest, String> {
    let plugin = config::configure::<P>(json).map_err(|error| error.to_string())?;
    let mut interest = Interest { request_body: BodyMode::None, response_body: BodyMode::None };
    say(&plugin, &mut interest);
    instance.set(plugin).map_err(|_| "configured twice".to_owned())?;
    Ok(interest)
}

/// The plugin of this instance. The host configures an instance before it calls a hook.
pub fn instance<P>(instance: &'static std::sync::OnceLock<P>) -> &'static P {
    match instance.get() {
        Some(plugin) => plugin,
        None => std::process::abort(),
    }
}

/// Ends the instance: the host discards it and applies the route's policy.
pub fn failed<P: Plugin>(error: &Error) -> ! {
    eprintln!("{}: {error}", P::NAME);
    std::process::abort()
}
