//! Every kind of harm, in every hook: it costs that call and its instance.

use witgate_plugin_host::{HostSettings, Isolation, PluginHost, PluginSpec};
use witgate_stage::{Ended, Exchange, FailureKind, Hook};

use crate::exchange::{hook, response, stage};
use crate::guest::{Guest, spec};

/// What a guest does, what that is called, and items that it needs.
const DEEDS: [(&str, FailureKind, &str); 5] = [
    ("unreachable", FailureKind::Trap, ""),
    ("(loop $again (br $again))", FailureKind::Deadline, ""),
    (
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
        FailureKind::Limit,
        "",
    ),
    ("(call $again)", FailureKind::Trap, "(func $again (call $again) (call $again))"),
    // An answer that the host cannot read: it points out of the memory.
    ("(call $lose)", FailureKind::Trap, "(func $lose (drop (i32.load8_u (i32.const -1))))"),
];

/// An exchange that any hook can have.
fn exchange() -> Box<Exchange> {
    let mut exchange = response(&[("x-field", "value")]);
    exchange.body = bytes::Bytes::from_static(b"some bytes");
    exchange.ended = Some(Ended::default());
    exchange
}

#[tokio::test]
async fn harm_in_any_hook_costs_that_call_and_its_instance() {
    let host = PluginHost::new(HostSettings { instances_limit: 64, ..HostSettings::default() }).unwrap();
    let bystander = stage(&host.load(spec(Guest::in_every_hook("").build())).unwrap());
    for (deed, kind, items) in DEEDS {
        let wasm = Guest::in_every_hook(deed).with_items(items).build();
        for (called, isolation) in
            Hook::ALL.into_iter().flat_map(|hook| [Isolation::Shared, Isolation::Request].map(|mode| (hook, mode)))
        {
            let name = format!("{} {isolation:?} {deed}", called.label());
            let plugin = host.load(PluginSpec { name: name.clone(), isolation, ..spec(wasm.clone()) }).unwrap();
            let (returned, result) = hook(&stage(&plugin), called, exchange()).await;
            assert_eq!(result.expect_err(&name).kind, kind, "{name}");
            assert_eq!((&returned.request.headers, &returned.body), (&exchange().request.headers, &exchange().body));
            let stats = plugin.stats();
            assert_eq!(stats.discarded, 1, "{name}");
            let stands_by = if isolation == Isolation::Request { 1 } else { 0 };
            assert!(stats.instances <= stands_by && stats.idle <= stands_by, "{name}: {stats:?}");
            hook(&bystander, called, exchange()).await.1.expect(&name);
        }
    }
}
