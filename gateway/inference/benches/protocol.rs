//! Cost of a request to the model server besides the model: routing, decoding, checking, encoding.

#![allow(clippy::expect_used, reason = "a bench may end at once")]

#[path = "../tests/double/mod.rs"]
mod double;

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use double::Double;
use http::{HeaderMap, HeaderValue, Method};
use prost::Message;
use serde_json::json;
use witgate_inference::protocol::messages::{InferTensor, ModelInferRequest};
use witgate_inference::protocol::{ModelServer, ServerRequest, ServerSettings};

/// Elements of a row: of a small model of tables, and of a picture for a classifier.
const SIZES: [usize; 2] = [64, 150_528];

struct Case {
    name: &'static str,
    path: &'static str,
    headers: HeaderMap,
    body: Bytes,
}

fn cases(elements: usize) -> Vec<Case> {
    let values: Vec<f32> = (0..elements).map(|element| (element as f32).sin()).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    // In the order in which clients write it: the type before the data.
    let plain = format!(
        r#"{{"inputs":[{{"name":"input0","shape":[1,{elements}],"datatype":"FP32","data":{}}}]}}"#,
        json!(values)
    );
    let sized = json!({
        "name": "input0",
        "shape": [1, elements],
        "datatype": "FP32",
        "parameters": { "binary_data_size": bytes.len() },
    });
    let head = json!({ "inputs": [sized], "parameters": { "binary_data_output": true } }).to_string();
    let length = HeaderMap::from_iter([(
        "inference-header-content-length".parse().expect("a name"),
        HeaderValue::from(head.len()),
    )]);
    let tensor = InferTensor {
        name: "input0".to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![1, i64::try_from(elements).expect("a small number")],
        ..InferTensor::default()
    };
    let message = ModelInferRequest {
        model_name: "identity_fp32".to_owned(),
        inputs: vec![tensor],
        raw_input_contents: vec![Bytes::from(bytes.clone())],
        ..ModelInferRequest::default()
    }
    .encode_to_vec();
    let frame = u32::try_from(message.len()).expect("a small number").to_be_bytes();
    let grpc = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))]);
    let v2 = "/v2/models/identity_fp32/infer";
    let case = |name, path, headers, body| Case { name, path, headers, body };
    vec![
        case("v2-json", v2, HeaderMap::new(), plain.into()),
        case("v2-binary", v2, length, [head.as_bytes(), &bytes].concat().into()),
        case("grpc", "/inference.GRPCInferenceService/ModelInfer", grpc, [&[0][..], &frame, &message].concat().into()),
        case(
            "goserve",
            "/v1/models/identity_fp32/infer",
            HeaderMap::new(),
            json!({ "tensors": { "input0": [values] } }).to_string().into(),
        ),
    ]
}

fn protocol(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let server = ModelServer::new(Arc::new(Double::new()), ServerSettings::default());
    for elements in SIZES {
        let mut group = c.benchmark_group(format!("1x{elements}"));
        for Case { name, path, headers, body } in cases(elements) {
            let ask = || {
                let body = body.clone();
                let request = ServerRequest { method: &Method::POST, path, headers: &headers, body, deadline: None };
                runtime.block_on(server.answer(request))
            };
            assert!(ask().body.len() > elements, "{name} is not answered");
            group.bench_function(name, |bencher| bencher.iter(|| black_box(ask())));
        }
    }
}

criterion_group!(benches, protocol);
criterion_main!(benches);
