// Package export_witgate_plugin_lifecycle is what every plugin exports. The bindings call it by this name.
package export_witgate_plugin_lifecycle

import (
	types "go.bytecodealliance.org/pkg/wit/types"

	"wit_component/consumers"
	"wit_component/witgate_plugin_lifecycle"
)

func Describe() witgate_plugin_lifecycle.Description {
	return witgate_plugin_lifecycle.Description{
		Name:         "first-plugin-go",
		Version:      "0.1.0",
		Summary:      "Lets known API keys pass and counts their requests",
		ConfigSchema: types.Some(consumers.Schema),
	}
}

// Configure refuses a configuration by an error: the operator sees it.
func Configure(config string) types.Result[witgate_plugin_lifecycle.Interest, string] {
	if err := consumers.Configure(config); err != nil {
		return types.Err[witgate_plugin_lifecycle.Interest](err.Error())
	}
	return types.Ok[witgate_plugin_lifecycle.Interest, string](witgate_plugin_lifecycle.Interest{
		RequestBody:  witgate_plugin_lifecycle.BodyModeNone,
		ResponseBody: witgate_plugin_lifecycle.BodyModeNone,
	})
}
