// Package export_witgate_plugin_lifecycle is what every plugin exports. The bindings call it by this name.
package export_witgate_plugin_lifecycle

import (
	types "go.bytecodealliance.org/pkg/wit/types"

	"wit_component/versions"
	"wit_component/witgate_plugin_lifecycle"
)

func Describe() witgate_plugin_lifecycle.Description {
	return witgate_plugin_lifecycle.Description{
		Name:         "{{name}}",
		Version:      "0.1.0",
		Summary:      "Settles which version of the API a request is for",
		ConfigSchema: types.Some(versions.Schema),
	}
}

// Configure refuses a configuration by an error: the operator sees it.
func Configure(config string) types.Result[witgate_plugin_lifecycle.Interest, string] {
	if err := versions.Configure(config); err != nil {
		return types.Err[witgate_plugin_lifecycle.Interest](err.Error())
	}
	return types.Ok[witgate_plugin_lifecycle.Interest, string](witgate_plugin_lifecycle.Interest{
		RequestBody:  witgate_plugin_lifecycle.BodyModeNone,
		ResponseBody: witgate_plugin_lifecycle.BodyModeNone,
	})
}
