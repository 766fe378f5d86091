//! What runs models.

use super::{FilePath, Kind, Shown};
use crate::ModelRuntime;
use crate::node::Node;
use crate::source::Read;

/// `"embedded"`, `"auto"`, or the path of a library.
pub(crate) struct RuntimeLibrary;

impl Kind for RuntimeLibrary {
    type Value = ModelRuntime;

    fn expected(&self) -> String {
        "\"embedded\", \"auto\", or the path of an ONNX Runtime library".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<ModelRuntime> {
        match node.text() {
            Some("embedded") => Ok(ModelRuntime::Embedded),
            Some("auto") => Ok(ModelRuntime::Auto),
            // Any other word would be the name of a file beside this one: more likely it is mistyped.
            Some(path) if path.contains(['/', '.']) => FilePath.read(node).map(|path| ModelRuntime::Path(node.locate(path))),
            _ => Err(node.wrong(
                &self.expected(),
                "write \"auto\", or a path such as \"/opt/onnxruntime/libonnxruntime.so\" (`witgate model runtime install` \
                 prints it)",
            )),
        }
    }
}

impl Shown for RuntimeLibrary {
    fn show(&self, value: &ModelRuntime) -> String {
        match value {
            ModelRuntime::Embedded => "\"embedded\"".into(),
            ModelRuntime::Auto => "\"auto\"".into(),
            ModelRuntime::Path(path) => format!("{:?}", path.value),
        }
    }
}
