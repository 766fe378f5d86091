//! Random and mutated bodies: whatever comes, the answer is one of the protocol's, and nothing panics.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end at once")]

mod double;

use std::sync::Arc;

use bytes::Bytes;
use double::Double;
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use prost::Message;
use witgate_inference::protocol::messages::{InferTensor, ModelInferRequest};
use witgate_inference::protocol::{ModelServer, ServerRequest, ServerResponse, ServerSettings};

const V2: &str = "/v2/models/two_in_two_out/infer";
const GOSERVE: &str = "/v1/models/two_in_two_out/infer";
const GRPC: &str = "/inference.GRPCInferenceService/ModelInfer";

const V2_BODIES: [&str; 3] = [
    r#"{"id":"7","parameters":{"binary_data_output":true,"x":[1,{"y":null}]},"inputs":[{"name":"a","shape":[1,3],"datatype":"FP32","data":[1,2.5,-3e2]},{"data":[4],"name":"b","shape":[1],"datatype":"INT64"}],"outputs":[{"name":"sum","parameters":{"binary_data":false}}]}"#,
    r#"{"inputs":[{"name":"b","shape":[1],"datatype":"INT64","parameters":{"binary_data_size":8}},{"name":"a","shape":[1,3],"datatype":"FP32","parameters":{"binary_data_size":12}}]}01234567012345670123"#,
    r#"{"inputs":[{"name":"input0","shape":[1,2],"datatype":"BYTES","data":["a\u00fc\n","b"]}]}"#,
];
const GOSERVE_BODIES: [&str; 2] =
    [r#"{"tensors":{"a":[[1,2,3],[4,5,6]],"b":[1,2]}}"#, r#"{"inputs":[[[]],[["x",true,null,1e9]]]}"#];

fn grpc_body() -> Vec<u8> {
    let tensor = |name: &str, datatype: &str, shape: &[i64]| InferTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        ..InferTensor::default()
    };
    let message = ModelInferRequest {
        model_name: "two_in_two_out".to_owned(),
        inputs: vec![tensor("b", "INT64", &[1]), tensor("a", "FP32", &[1, 3])],
        raw_input_contents: vec![Bytes::from_static(&[1; 8]), Bytes::from_static(&[2; 12])],
        ..ModelInferRequest::default()
    }
    .encode_to_vec();
    [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat()
}

fn answer(path: &str, json_length: Option<usize>, grpc: bool, body: Vec<u8>) -> ServerResponse {
    let server = ModelServer::new(Arc::new(Double::new()), ServerSettings::default());
    let mut headers = HeaderMap::new();
    if let Some(length) = json_length {
        headers.insert("inference-header-content-length", HeaderValue::from(length));
    }
    if grpc {
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    }
    let request = ServerRequest { method: &Method::POST, path, headers: &headers, body: body.into(), deadline: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(server.answer(request))
}

/// A change to a body.
#[derive(Debug, Clone)]
enum Change {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    let token =
        prop::sample::select(vec!["[", "]", "{", "}", ",", "\"", "\\", "0", "-", "9e999", "NaN", "null", "true", ":"]);
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(place, byte)| Change::Set(place, byte)),
        (place(), token).prop_map(|(place, token)| Change::Insert(place, token.as_bytes().to_vec())),
        (place(), 1..20_usize).prop_map(|(place, length)| Change::Remove(place, length)),
        (place(), 1..20_usize).prop_map(|(place, length)| Change::Repeat(place, length)),
    ]
}

fn changed(mut body: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let (place, length) = match change {
            Change::Set(place, _) | Change::Insert(place, _) => (place, 0),
            Change::Remove(place, length) | Change::Repeat(place, length) => (place, *length),
        };
        if body.is_empty() {
            break;
        }
        let place = place.index(body.len());
        let end = (place + length).min(body.len());
        match change {
            Change::Set(_, byte) => body[place] = *byte,
            Change::Insert(_, bytes) => drop(body.splice(place..place, bytes.iter().copied())),
            Change::Remove(..) => drop(body.drain(place..end)),
            Change::Repeat(..) => {
                let part = body[place..end].to_vec();
                drop(body.splice(place..place, part));
            }
        }
    }
    body
}

/// An answer in JSON or bytes: success, or an error that says something.
fn is_told(response: &ServerResponse) -> Result<(), TestCaseError> {
    let status = response.status.as_u16();
    prop_assert!(status == 200 || (400..500).contains(&status) || status == 501, "{status}");
    if status != 200 {
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        prop_assert!(!body["error"].as_str().unwrap().is_empty());
    }
    Ok(())
}

fn is_grpc_status(response: &ServerResponse) -> Result<(), TestCaseError> {
    let status = response.trailers.as_ref().unwrap()["grpc-status"].to_str().unwrap().to_owned();
    prop_assert!(["0", "3", "5", "8", "12"].contains(&status.as_str()), "{status}");
    Ok(())
}

#[test]
fn the_bodies_that_are_changed_are_right() {
    assert_eq!(answer(V2, None, false, V2_BODIES[0].into()).status, 200);
    assert_eq!(answer(V2, Some(V2_BODIES[1].find("}01").unwrap() + 1), false, V2_BODIES[1].into()).status, 200);
    assert_eq!(answer("/v2/models/identity_bytes/infer", None, false, V2_BODIES[2].into()).status, 200);
    assert_eq!(answer(GOSERVE, None, false, GOSERVE_BODIES[0].into()).status, 200);
    assert_eq!(answer(GRPC, None, true, grpc_body()).trailers.unwrap()["grpc-status"], "0");
}

proptest! {
    #[test]
    fn random_bodies_are_refused(body in prop::collection::vec(any::<u8>(), 0..200), length in prop::option::of(0..250_usize)) {
        for path in [V2, GOSERVE] {
            let response = answer(path, length, false, body.clone());
            prop_assert!(response.status.is_client_error(), "{}", response.status);
            is_told(&response)?;
        }
        let framed = [&[0][..], &(body.len() as u32).to_be_bytes(), &body].concat();
        is_grpc_status(&answer(GRPC, None, true, framed))?;
        is_grpc_status(&answer(GRPC, None, true, body))?;
    }

    #[test]
    fn changed_bodies_are_answered(
        body in prop::sample::select(V2_BODIES.to_vec()),
        changes in prop::collection::vec(change(), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let body = changed(body.into(), &changes);
        let json_length = match cut {
            Some(cut) => Some(cut.index(body.len() + 1)),
            None => body.windows(2).position(|pair| pair == b"}0").map(|place| place + 1),
        };
        for path in [V2, "/v2/models/identity_bytes/infer"] {
            is_told(&answer(path, json_length, false, body.clone()))?;
        }
    }

    #[test]
    fn changed_bodies_of_goserve_are_answered(
        body in prop::sample::select(GOSERVE_BODIES.to_vec()),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let body = changed(body.into(), &changes);
        for path in [GOSERVE, "/v1/models/identity_bytes/infer", "/v1/models/identity_bool/infer", "/v1/models"] {
            is_told(&answer(path, None, false, body.clone()))?;
        }
    }

    #[test]
    fn changed_messages_are_answered(changes in prop::collection::vec(change(), 1..6)) {
        let message = changed(grpc_body().split_off(5), &changes);
        let body = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
        for method in ["ModelInfer", "ModelMetadata", "RepositoryModelLoad"] {
            let response = answer(&format!("/inference.GRPCInferenceService/{method}"), None, true, body.clone());
            let status = response.trailers.as_ref().unwrap()["grpc-status"].to_str().unwrap().to_owned();
            prop_assert!(["0", "3", "5", "7", "8", "12"].contains(&status.as_str()), "{}", status);
        }
    }
}
