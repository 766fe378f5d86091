// A first Witgate plugin in Go. It lets requests with a known API key pass, tells the upstream who calls, and counts the
// calls of each consumer:
//
//	authorization: Bearer KEY   ->   x-consumer: NAME
//	                                 x-count: 1, 2, 3 …
//
// The packages witgate_plugin_… are generated from wit/world.wit; docs/plugins/go.md tells how to build this.
package export_witgate_plugin_on_request_headers

import (
	"strconv"

	types "go.bytecodealliance.org/pkg/wit/types"

	"wit_component/consumers"
	"wit_component/witgate_plugin_http"
	"wit_component/witgate_plugin_kv"
	"wit_component/witgate_plugin_on_request_headers"
)

// Handle is called with the head of each request.
func Handle(request *witgate_plugin_http.Request, _endOfStream bool) witgate_plugin_on_request_headers.Action {
	// The host lends the request for this call.
	defer request.Drop()
	authorization := request.Get("authorization")
	if authorization.IsNone() {
		return refuse()
	}
	consumer, known := consumers.Authenticate(authorization.Some())
	if !known {
		return refuse()
	}
	// Atomic: every instance of the plugin counts in the same place. Ok panics if there was an error: the client then gets
	// 500, unless the stage says `on_trap = "skip"`.
	count := witgate_plugin_kv.Incr("count:"+consumer, 1, types.None[uint64]()).Ok()
	request.Apply([]witgate_plugin_http.FieldOp{
		witgate_plugin_http.MakeFieldOpRemove("authorization"),
		witgate_plugin_http.MakeFieldOpSet(field("x-consumer", consumer)),
		witgate_plugin_http.MakeFieldOpSet(field("x-count", strconv.FormatInt(count, 10))),
	}).Ok()
	return witgate_plugin_on_request_headers.MakeActionContinue()
}

func refuse() witgate_plugin_on_request_headers.Action {
	return witgate_plugin_on_request_headers.MakeActionRefuse(witgate_plugin_http.Refusal{
		Code:         witgate_plugin_http.ErrorCodeUnauthenticated,
		Message:      "Send a known key: `authorization: Bearer KEY`.",
		Fields:       []witgate_plugin_http.Field{field("www-authenticate", "Bearer")},
		RetryAfterMs: types.None[uint64](),
	})
}

func field(name, value string) witgate_plugin_http.Field {
	return witgate_plugin_http.Field{Name: name, Value: []byte(value)}
}
