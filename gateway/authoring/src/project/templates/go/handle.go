// A Witgate plugin that settles which version of an API a request is for:
//
//	no x-api-version       ->   x-api-version: the first of the configured versions
//	a configured version   ->   passes
//	anything else          ->   refused
//
// The packages witgate_plugin_… are generated from wit/world.wit.
package export_witgate_plugin_on_request_headers

import (
	types "go.bytecodealliance.org/pkg/wit/types"

	"wit_component/versions"
	"wit_component/witgate_plugin_http"
	"wit_component/witgate_plugin_on_request_headers"
)

const header = "x-api-version"

// Handle is called with the head of each request.
func Handle(request *witgate_plugin_http.Request, _endOfStream bool) witgate_plugin_on_request_headers.Action {
	// The host lends the request for this call.
	defer request.Drop()
	version, known := versions.First()
	if asked := request.Get(header); asked.IsSome() {
		version, known = versions.Find(asked.Some())
	}
	if !known {
		return witgate_plugin_on_request_headers.MakeActionRefuse(witgate_plugin_http.Refusal{
			Code:         witgate_plugin_http.ErrorCodeInvalidRequest,
			Message:      "Ask for a version that is served, or leave `" + header + "` out.",
			Fields:       []witgate_plugin_http.Field{},
			RetryAfterMs: types.None[uint64](),
		})
	}
	// In any case: of several fields the upstream gets the one that was checked. Ok panics if there was an error: the
	// client then gets 500, unless the stage says `on_trap = "skip"`.
	request.Set(header, []byte(version)).Ok()
	return witgate_plugin_on_request_headers.MakeActionContinue()
}
