//! The gRPC side of the model server, in front of a double of the models.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end at once")]

mod double;

use std::io::Write;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use double::Double;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use prost::Message;
use witgate_inference::protocol::messages::{
    Choice, Empty, InferParameter, InferRequestedOutputTensor, InferTensor, InferTensorContents, ModelInferRequest,
    ModelInferResponse, ModelMetadataResponse, ModelRequest, ReadyResponse, RepositoryIndexResponse,
    RepositoryModelRequest, ServerLiveResponse, ServerMetadataResponse,
};
use witgate_inference::protocol::{Limits, ModelServer, ServerRequest, ServerResponse, ServerSettings};

fn server(settings: ServerSettings) -> ModelServer {
    ModelServer::new(Arc::new(Double::new()), settings)
}

fn frame(message: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(message.len() as u32);
    body.put_slice(message);
    body.freeze()
}

fn ask(server: &ModelServer, method: &str, headers: &[(&'static str, &'static str)], body: Bytes) -> ServerResponse {
    let mut all = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))]);
    all.extend(headers.iter().map(|(key, value)| (HeaderName::from_static(key), HeaderValue::from_static(value))));
    let path = format!("/inference.GRPCInferenceService/{method}");
    let request = ServerRequest { method: &Method::POST, path: &path, headers: &all, body, deadline: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(server.answer(request))
}

/// Status and message of an answer.
fn status(response: &ServerResponse) -> (u16, String) {
    assert_eq!(
        (response.status.as_u16(), &response.headers["content-type"]),
        (200, &HeaderValue::from_static("application/grpc"))
    );
    let trailers = response.trailers.as_ref().unwrap();
    let message = trailers.get("grpc-message").map_or("", |message| message.to_str().unwrap());
    (trailers["grpc-status"].to_str().unwrap().parse().unwrap(), message.to_owned())
}

fn call<M: Message + Default>(server: &ModelServer, method: &str, message: &impl Message) -> Result<M, (u16, String)> {
    let response = ask(server, method, &[], frame(&message.encode_to_vec()));
    match status(&response) {
        (0, _) => {
            let length = u32::from_be_bytes(response.body[1..5].try_into().unwrap()) as usize;
            assert_eq!((response.body[0], response.body.len()), (0, length + 5));
            Ok(M::decode(response.body.slice(5..)).unwrap())
        }
        failure => {
            assert!(response.body.is_empty());
            Err(failure)
        }
    }
}

fn infer(request: &ModelInferRequest) -> Result<ModelInferResponse, (u16, String)> {
    call(&server(ServerSettings::default()), "ModelInfer", request)
}

fn tensor(name: &str, datatype: &str, shape: &[i64]) -> InferTensor {
    InferTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        ..InferTensor::default()
    }
}

fn identity(datatype: &str, shape: &[i64]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: format!("identity_{}", datatype.to_lowercase()),
        inputs: vec![tensor("input0", datatype, shape)],
        ..ModelInferRequest::default()
    }
}

fn with_raw(mut request: ModelInferRequest, raw: &[u8]) -> ModelInferRequest {
    request.raw_input_contents = vec![Bytes::copy_from_slice(raw)];
    request
}

fn with_contents(mut request: ModelInferRequest, contents: InferTensorContents) -> ModelInferRequest {
    request.inputs[0].contents = Some(contents);
    request
}

#[test]
fn the_server_and_its_models_are_described() {
    let server = server(ServerSettings::default());
    let model = |name: &str| ModelRequest { name: name.to_owned(), version: String::new() };
    assert!(call::<ServerLiveResponse>(&server, "ServerLive", &Empty {}).unwrap().live);
    assert!(call::<ReadyResponse>(&server, "ServerReady", &Empty {}).unwrap().ready);
    assert!(call::<ReadyResponse>(&server, "ModelReady", &model("scalar")).unwrap().ready);
    assert!(!call::<ReadyResponse>(&server, "ModelReady", &model("nothing")).unwrap().ready);
    assert_eq!(call::<ServerMetadataResponse>(&server, "ServerMetadata", &Empty {}).unwrap().name, "witgate");
    let metadata: ModelMetadataResponse = call(&server, "ModelMetadata", &model("versioned")).unwrap();
    assert_eq!(
        (metadata.versions, metadata.inputs[0].shape.as_slice()),
        (vec!["1".to_owned(), "2".to_owned()], &[-1, -1][..])
    );
    let failure = call::<ModelMetadataResponse>(&server, "ModelMetadata", &model("nothing")).unwrap_err();
    assert_eq!(failure, (5, "no model `nothing`".to_owned()));
    let index: RepositoryIndexResponse = call(&server, "RepositoryIndex", &Empty {}).unwrap();
    assert!(
        index.models.iter().any(|model| model.name == "versioned" && model.version == "2" && model.state == "READY")
    );
    assert_eq!(call::<Empty>(&server, "ModelStatistics", &Empty {}).unwrap_err().0, 12);
}

#[test]
fn raw_contents_come_back() {
    for (datatype, raw) in [
        ("BOOL", &[1, 0][..]),
        ("INT8", &[128, 127]),
        ("UINT16", &[0, 255, 1, 2]),
        ("FP16", &[0, 60, 0, 188]),
        ("BF16", &[128, 63, 128, 191]),
        ("FP32", &[0, 0, 128, 63, 205, 204, 204, 61]),
        ("INT64", &[200; 16]),
        ("BYTES", &[1, 0, 0, 0, b'a', 0, 0, 0, 0]),
    ] {
        let response = infer(&with_raw(identity(datatype, &[1, 2]), raw)).unwrap();
        assert_eq!(response.raw_output_contents, [Bytes::copy_from_slice(raw)], "{datatype}");
        assert_eq!(
            (response.outputs[0].datatype.as_str(), response.outputs[0].shape.as_slice()),
            (datatype, &[1, 2][..])
        );
    }
}

#[test]
fn typed_contents_are_taken() {
    let none = InferTensorContents::default;
    for (datatype, contents, raw) in [
        ("BOOL", InferTensorContents { bool_contents: vec![true, false], ..none() }, vec![1, 0]),
        ("INT8", InferTensorContents { int_contents: vec![-1, 5], ..none() }, vec![255, 5]),
        ("INT16", InferTensorContents { int_contents: vec![-1, 5], ..none() }, vec![255, 255, 5, 0]),
        ("UINT8", InferTensorContents { uint_contents: vec![200, 5], ..none() }, vec![200, 5]),
        (
            "UINT64",
            InferTensorContents { uint64_contents: vec![1, 2], ..none() },
            [1_u64, 2].map(u64::to_le_bytes).concat(),
        ),
        (
            "INT64",
            InferTensorContents { int64_contents: vec![-1, 2], ..none() },
            [-1_i64, 2].map(i64::to_le_bytes).concat(),
        ),
        (
            "FP32",
            InferTensorContents { fp32_contents: vec![0.5, 2.0], ..none() },
            [0.5_f32, 2.0].map(f32::to_le_bytes).concat(),
        ),
        (
            "FP64",
            InferTensorContents { fp64_contents: vec![0.5, 2.0], ..none() },
            [0.5_f64, 2.0].map(f64::to_le_bytes).concat(),
        ),
        (
            "BYTES",
            InferTensorContents { bytes_contents: vec![Bytes::from("a"), Bytes::new()], ..none() },
            vec![1, 0, 0, 0, b'a', 0, 0, 0, 0],
        ),
    ] {
        let response = infer(&with_contents(identity(datatype, &[1, 2]), contents)).unwrap();
        assert_eq!(response.raw_output_contents, [Bytes::from(raw)], "{datatype}");
    }
}

#[test]
fn several_inputs_and_chosen_outputs() {
    let response = infer(&ModelInferRequest {
        model_name: "two_in_two_out".to_owned(),
        id: "7".to_owned(),
        inputs: vec![tensor("b", "INT64", &[1]), tensor("a", "FP32", &[1, 3])],
        outputs: vec![InferRequestedOutputTensor { name: "sum".to_owned(), ..InferRequestedOutputTensor::default() }],
        raw_input_contents: vec![
            Bytes::copy_from_slice(&5_i64.to_le_bytes()),
            Bytes::from([1_f32, 2.0, 3.0].map(f32::to_le_bytes).concat()),
        ],
        ..ModelInferRequest::default()
    })
    .unwrap();
    assert_eq!((response.id.as_str(), response.model_version.as_str(), response.outputs.len()), ("7", "1", 1));
    assert_eq!(response.raw_output_contents, [Bytes::from([6_f32, 7.0, 8.0].map(f32::to_le_bytes).concat())]);
}

#[test]
fn requests_that_do_not_fit_are_refused_with_what_was_expected() {
    let contents = |ints: Vec<i32>| InferTensorContents { int_contents: ints, ..InferTensorContents::default() };
    let parameter = |key: &str, choice| [(key.to_owned(), InferParameter { choice: Some(choice) })].into();
    let raw = || with_raw(identity("FP32", &[1, 1]), &[0; 4]);
    let mut unknown_type = raw();
    unknown_type.inputs[0].datatype = "FP99".to_owned();
    for (request, code, expected) in [
        (
            with_contents(identity("INT8", &[1, 1]), contents(vec![300])),
            3,
            "the element[0] of the input `input0` has to be a whole number from -128 to 127 (INT8), got 300",
        ),
        (
            with_contents(identity("FP32", &[1, 1]), contents(vec![3])),
            3,
            "the input `input0` is FP32: expected `fp32_contents`, got `int_contents`",
        ),
        (
            with_contents(identity("FP16", &[1, 1]), contents(vec![3])),
            3,
            "the input `input0` is FP16: expected `raw_input_contents`, got `int_contents`",
        ),
        (identity("FP32", &[1, 2]), 3, "the input `input0` has the shape [1, 2], which has room for 2 elements, got 0"),
        (
            with_raw(identity("FP32", &[1, -2]), &[0; 8]),
            3,
            "the input `input0` has a negative size in its shape [1, -2]",
        ),
        (
            with_raw(identity("FP32", &[1 << 40, 1 << 40]), &[0; 8]),
            3,
            "the input `input0` has the shape [1099511627776, 1099511627776], which has room for more than all elements, got 2",
        ),
        (unknown_type, 3, "there is no datatype `FP99`"),
        (
            with_raw(identity("FP32", &[9, 1]), &[0; 36]),
            3,
            "the input `input0` has 9 rows, and the model takes at most 8",
        ),
        (with_raw(identity("FP32", &[1, 1]), &f32::NAN.to_le_bytes()), 3, "element 0 of the input `input0` is NaN"),
        (with_contents(raw(), contents(vec![1])), 3, "the input `input0` has both `contents` and `raw_input_contents`"),
        (
            ModelInferRequest { raw_input_contents: vec![Bytes::new(); 2], ..identity("FP32", &[1, 1]) },
            3,
            "the request has 1 inputs and 2 `raw_input_contents`",
        ),
        (
            ModelInferRequest { parameters: parameter("sequence_id", Choice::Int64(1)), ..raw() },
            12,
            "the parameter `sequence_id` is not served here",
        ),
        (
            ModelInferRequest { parameters: parameter("timeout", Choice::Bool(true)), ..raw() },
            3,
            "the parameter `timeout` has to be",
        ),
        (ModelInferRequest { model_name: "busy".to_owned(), ..raw() }, 14, "the model is busy"),
        (ModelInferRequest { model_name: "slow".to_owned(), ..raw() }, 4, "the deadline has passed"),
        (ModelInferRequest { model_name: "broken".to_owned(), ..raw() }, 13, "the model failed"),
        (ModelInferRequest { model_name: "nothing".to_owned(), ..raw() }, 5, "no model `nothing`"),
    ] {
        let (got, message) = infer(&request).unwrap_err();
        assert!(got == code && message.starts_with(expected), "expected {expected}, got {got}: {message}");
    }
}

#[test]
fn a_message_may_be_compressed_and_contents_may_be_there_without_elements() {
    let server = server(ServerSettings::default());
    let request = with_raw(identity("FP32", &[1, 1]), &1.5_f32.to_le_bytes());
    let request = with_contents(request, InferTensorContents::default());
    assert_eq!(infer(&request).unwrap().raw_output_contents[0], 1.5_f32.to_le_bytes()[..]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&request.encode_to_vec()).unwrap();
    let mut body = BytesMut::from(&frame(&encoder.finish().unwrap())[..]);
    body[0] = 1;
    let body = body.freeze();
    assert_eq!(status(&ask(&server, "ModelInfer", &[("grpc-encoding", "gzip")], body.clone())).0, 0);
    assert_eq!(status(&ask(&server, "ModelInfer", &[("grpc-encoding", "deflate")], body.clone())).0, 3);
    let refused = ask(&server, "ModelInfer", &[("grpc-encoding", "snappy")], body);
    assert_eq!(
        (status(&refused).0, &refused.headers["grpc-accept-encoding"]),
        (12, &HeaderValue::from_static("gzip, deflate"))
    );
}

#[test]
fn bodies_that_are_no_message_are_refused() {
    let server = server(ServerSettings::default());
    let code = |body: Bytes| status(&ask(&server, "ModelInfer", &[], body)).0;
    assert_eq!(code(Bytes::new()), 3);
    assert_eq!(code(Bytes::from_static(&[0, 0, 0, 0, 1])), 3);
    assert_eq!(code(Bytes::from_static(&[0, 0, 0, 0, 0, 1])), 3);
    assert_eq!(code(Bytes::from_static(&[1, 0, 0, 0, 0])), 12);
    assert_eq!(code(frame(&[0x2a, 200])), 3);
    assert_eq!(code(frame(&[0x2b])), 3);
}

#[test]
fn what_is_small_on_the_wire_and_large_in_memory_is_counted_first() {
    let server = server(ServerSettings {
        limits: Limits { tensors: 3, elements: 10, strings: 4, depth: 3, ..Limits::default() },
        ..ServerSettings::default()
    });
    let code = |message: &[u8]| status(&ask(&server, "ModelInfer", &[], frame(message)));
    let nested = |contents: Vec<u8>| {
        let input = [&[0x2a, contents.len() as u8][..], &contents].concat();
        [&[0x2a, input.len() as u8][..], &input].concat()
    };
    for (what, message) in [
        ("inputs", [0x2a, 0].repeat(4)),
        ("outputs", [0x32, 0].repeat(4)),
        ("raw contents", [0x3a, 0].repeat(4)),
        ("parameters", [0x22, 0].repeat(65)),
        ("dimensions", vec![0x2a, 6, 0x1a, 4, 1, 1, 1, 1]),
        ("dimensions one by one", [&[0x2a, 8][..], &[0x18, 1].repeat(4)].concat()),
        ("packed booleans", nested([&[0x0a, 11][..], &[0; 11]].concat())),
        ("booleans one by one", nested([0x08, 1].repeat(11))),
        ("packed floats", nested([&[0x32, 44][..], &[0; 44]].concat())),
        ("packed doubles", nested([&[0x3a, 88][..], &[0; 88]].concat())),
        ("strings", nested([0x42, 0].repeat(5))),
    ] {
        let (code, message) = code(&message);
        assert_eq!(code, 8, "{what}: {message}");
    }
}

#[test]
fn models_are_managed_only_where_that_is_allowed() {
    let request = |parameters: &[(&str, &str)]| RepositoryModelRequest {
        model_name: "new".to_owned(),
        parameters: parameters
            .iter()
            .map(|(key, value)| {
                ((*key).to_owned(), InferParameter { choice: Some(Choice::String((*value).to_owned())) })
            })
            .collect(),
        ..RepositoryModelRequest::default()
    };
    let path = request(&[("path", "new.onnx")]);
    let closed = server(ServerSettings::default());
    assert_eq!(call::<Empty>(&closed, "RepositoryModelLoad", &path).unwrap_err().0, 7);
    assert_eq!(call::<Empty>(&closed, "RepositoryModelUnload", &path).unwrap_err().0, 7);
    let open = server(ServerSettings { manage: true, ..ServerSettings::default() });
    assert_eq!(call::<Empty>(&open, "RepositoryModelLoad", &request(&[])).unwrap_err().0, 3);
    assert_eq!(call::<Empty>(&open, "RepositoryModelLoad", &request(&[("config", "{}")])).unwrap_err().0, 12);
    assert!(call::<Empty>(&open, "RepositoryModelLoad", &path).is_ok());
    let ready = ModelRequest { name: "new".to_owned(), version: "1".to_owned() };
    assert!(call::<ReadyResponse>(&open, "ModelReady", &ready).unwrap().ready);
    assert!(call::<Empty>(&open, "RepositoryModelUnload", &request(&[])).is_ok());
    assert!(!call::<ReadyResponse>(&open, "ModelReady", &ready).unwrap().ready);
}

#[test]
fn an_error_fits_into_trailers_whatever_was_asked_for() {
    let long = "ü".repeat(1_000_000);
    let open = server(ServerSettings { manage: true, ..ServerSettings::default() });
    let (_, message) = call::<ModelMetadataResponse>(
        &open,
        "ModelMetadata",
        &ModelRequest { name: long.clone(), version: String::new() },
    )
    .unwrap_err();
    assert!(message.len() < 1000, "{} bytes", message.len());
    let path = InferParameter { choice: Some(Choice::String(format!("../{long}"))) };
    let request = RepositoryModelRequest {
        model_name: "new".to_owned(),
        parameters: [("path".to_owned(), path)].into(),
        ..RepositoryModelRequest::default()
    };
    let (code, message) = call::<Empty>(&open, "RepositoryModelLoad", &request).unwrap_err();
    assert!(code == 3 && message.len() < 4000, "{code}, {} bytes", message.len());
}

#[test]
fn the_clients_timeout_counts() {
    let server = server(ServerSettings::default());
    let body = frame(&with_raw(identity("FP32", &[1, 1]), &[0; 4]).encode_to_vec());
    assert_eq!(status(&ask(&server, "ModelInfer", &[("grpc-timeout", "0n")], body.clone())).0, 4);
    assert_eq!(status(&ask(&server, "ModelInfer", &[("grpc-timeout", "1H")], body.clone())).0, 0);
    assert_eq!(status(&ask(&server, "ModelInfer", &[("grpc-timeout", "soon")], body)).0, 3);
}
