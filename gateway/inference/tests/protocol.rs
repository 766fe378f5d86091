//! The model server as its clients see it, in front of a double of the models.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may end at once")]

mod double;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use double::Double;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use witgate_inference::protocol::{Limits, ModelServer, Reach, ServerRequest, ServerResponse, ServerSettings};

fn server(settings: ServerSettings) -> ModelServer {
    ModelServer::new(Arc::new(Double::new()), settings)
}

fn managed() -> ServerSettings {
    ServerSettings { manage: true, ..ServerSettings::default() }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn ask(
    server: &ModelServer,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> ServerResponse {
    let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).unwrap();
    let headers: HeaderMap =
        headers.iter().map(|(key, value)| (name(key), HeaderValue::from_str(value).unwrap())).collect();
    let method: Method = method.parse().unwrap();
    wait(server.answer(ServerRequest { method: &method, path, headers: &headers, body: body.into(), deadline: None }))
}

/// Status and JSON of an answer.
fn told(response: &ServerResponse) -> (u16, Value) {
    assert_eq!(response.headers["content-type"], "application/json");
    (response.status.as_u16(), serde_json::from_slice(&response.body).unwrap())
}

fn get(path: &str) -> (u16, Value) {
    told(&ask(&server(ServerSettings::default()), "GET", path, &[], ""))
}

fn post(path: &str, body: &Value) -> (u16, Value) {
    told(&ask(&server(ServerSettings::default()), "POST", path, &[], body.to_string()))
}

fn error(answer: &(u16, Value)) -> &str {
    answer.1["error"].as_str().unwrap()
}

fn input(name: &str, datatype: &str, shape: &[u64], data: &Value) -> Value {
    json!({ "name": name, "datatype": datatype, "shape": shape, "data": data })
}

#[test]
fn the_server_tells_about_itself_and_its_models() {
    assert_eq!(get("/v2").1["extensions"], json!(["binary_tensor_data", "model_repository", "parameters"]));
    assert_eq!(get("/v2/health/live"), (200, json!({ "live": true })));
    assert_eq!(get("/v2/health/ready"), (200, json!({ "ready": true })));
    assert_eq!(get("/v2/models/two_in_two_out/ready"), (200, json!({ "name": "two_in_two_out", "ready": true })));
    assert_eq!(
        get("/v2/models/versioned/versions/1"),
        (
            200,
            json!({
                "name": "versioned",
                "versions": ["1", "2"],
                "platform": "double_onnx",
                "inputs": [{ "name": "input0", "datatype": "FP32", "shape": [-1, -1] }],
                "outputs": [{ "name": "output0", "datatype": "FP32", "shape": [-1, -1] }],
            })
        )
    );
    assert_eq!(error(&get("/v2/models/nothing")), "no model `nothing`");
    assert_eq!(error(&get("/v2/models/versioned/versions/9")), "model `versioned` has no version `9`; it has 1, 2");
}

#[test]
fn goserve_lists_and_describes_models() {
    assert_eq!(get("/").1["name"], "witgate");
    assert_eq!((get("/health").0, get("/ready").0), (200, 200));
    let models = get("/v1/models").1;
    let listed = models["models"].as_array().unwrap().iter().find(|model| model["name"] == "two_in_two_out").unwrap();
    assert_eq!(
        *listed,
        json!({
            "name": "two_in_two_out",
            "version": 1,
            "path": "two_in_two_out.onnx",
            "input_nodes": ["a", "b"],
            "output_nodes": ["sum", "label"],
        })
    );
    let described = get("/v1/models/versioned@1").1;
    assert_eq!(described["versions"], json!([1, 2]));
    assert_eq!(described["aliases"], json!({ "latest": 2 }));
    assert_eq!(described["loaded_at"], "2023-11-14T22:13:20Z");
    assert!(described["digest"].as_str().unwrap().starts_with("sha256:0707"));
}

#[test]
fn v2_answers_with_all_outputs_or_those_that_were_asked_for() {
    let inputs = json!([
        input("b", "INT64", &[2], &json!([10, 20])),
        input("a", "FP32", &[2, 3], &json!([[1, 2, 3], [4, 5, 6.5]])),
    ]);
    let sum =
        json!({ "name": "sum", "datatype": "FP32", "shape": [2, 3], "data": [11.0, 12.0, 13.0, 24.0, 25.0, 26.5] });
    let label = json!({ "name": "label", "datatype": "INT64", "shape": [2], "data": [10, 20] });
    let answer =
        |outputs: Value| json!({ "model_name": "two_in_two_out", "model_version": "1", "id": "7", "outputs": outputs });
    let path = "/v2/models/two_in_two_out/infer";
    let request = json!({ "id": "7", "inputs": inputs });
    assert_eq!(post(path, &request), (200, answer(json!([sum, label]))));
    let request = json!({ "id": "7", "inputs": inputs, "outputs": [{ "name": "label" }, { "name": "sum" }] });
    assert_eq!(post(path, &request), (200, answer(json!([label, sum]))));
    let request = json!({ "inputs": inputs, "outputs": [{ "name": "total" }] });
    assert_eq!(error(&post(path, &request)), "the model has no output `total`; it has `sum`, `label`");
}

#[test]
fn data_may_come_before_its_type_and_its_name() {
    let body = r#"{"inputs":[{"data":[[1,2]],"shape":[1,2],"datatype":"FP32","name":"input0"}]}"#;
    let response = ask(&server(ServerSettings::default()), "POST", "/v2/models/identity_fp32/infer", &[], body);
    assert_eq!(told(&response).1["outputs"][0]["data"], json!([1.0, 2.0]));
}

#[test]
fn all_types_with_json_come_back_over_it() {
    for (datatype, data) in [
        ("BOOL", json!([true, false])),
        ("UINT8", json!([0, 255])),
        ("UINT16", json!([0, 65535])),
        ("UINT32", json!([0, u32::MAX])),
        ("UINT64", json!([0, u64::MAX])),
        ("INT8", json!([-128, 127])),
        ("INT16", json!([i16::MIN, i16::MAX])),
        ("INT32", json!([i32::MIN, i32::MAX])),
        ("INT64", json!([i64::MIN, i64::MAX])),
        ("FP32", json!([0.1, 3.4028235e38])),
        ("FP64", json!([0.1, 1.7976931348623157e308])),
        ("BYTES", json!(["a", "ü\u{0}\"\\\n"])),
    ] {
        let name = format!("identity_{}", datatype.to_lowercase());
        let request = json!({ "inputs": [input("input0", datatype, &[1, 2], &data)] });
        let (status, answer) = post(&format!("/v2/models/{name}/infer"), &request);
        assert_eq!((status, &answer["outputs"][0]["data"]), (200, &data), "{datatype}: {answer}");
        let (status, answer) = post(&format!("/v1/models/{name}/infer"), &json!({ "tensors": { "input0": [data] } }));
        assert_eq!((status, &answer["outputs"]["output0"]), (200, &json!([data])), "{datatype}: {answer}");
    }
    for datatype in ["FP16", "BF16"] {
        let name = format!("identity_{}", datatype.to_lowercase());
        let (status, answer) = post(&format!("/v1/models/{name}/infer"), &json!({ "inputs": [[0.5, -2.0]] }));
        assert_eq!((status, &answer["outputs"]["output0"]), (200, &json!([[0.5, -2.0]])), "{datatype}: {answer}");
        let request = json!({ "inputs": [input("input0", datatype, &[1, 1], &json!([1]))] });
        let answer = post(&format!("/v2/models/{name}/infer"), &request);
        assert!(answer.0 == 400 && error(&answer).contains("which the protocol has no JSON for"), "{answer:?}");
    }
}

/// A body of JSON and binary data, with its header.
fn binary(json: &Value, data: &[u8]) -> (String, Vec<u8>) {
    let json = json.to_string();
    (json.len().to_string(), [json.as_bytes(), data].concat())
}

#[test]
fn all_types_come_back_as_binary_data() {
    for (datatype, data) in [
        ("BOOL", &[1, 0][..]),
        ("UINT8", &[0, 255]),
        ("UINT16", &[0, 255, 1, 2]),
        ("UINT32", &[1; 8]),
        ("UINT64", &[2; 16]),
        ("INT8", &[128, 127]),
        ("INT16", &[0, 128, 1, 2]),
        ("INT32", &[200; 8]),
        ("INT64", &[200; 16]),
        ("FP16", &[0, 60, 0, 188]),
        ("BF16", &[128, 63, 128, 191]),
        ("FP32", &[0, 0, 128, 63, 205, 204, 204, 61]),
        ("FP64", &[1; 16]),
        ("BYTES", &[1, 0, 0, 0, b'a', 0, 0, 0, 0]),
    ] {
        let mut one = input("input0", datatype, &[1, 2], &Value::Null);
        one.as_object_mut().unwrap().remove("data");
        one["parameters"] = json!({ "binary_data_size": data.len() });
        let path = format!("/v2/models/identity_{}/infer", datatype.to_lowercase());
        let request = json!({ "inputs": [one], "parameters": { "binary_data_output": true } });
        let (length, body) = binary(&request, data);
        let response = ask(
            &server(ServerSettings::default()),
            "POST",
            &path,
            &[("inference-header-content-length", &length)],
            body,
        );
        assert_eq!(response.status, 200, "{datatype}: {}", String::from_utf8_lossy(&response.body));
        assert_eq!(response.headers["content-type"], "application/octet-stream");
        let length: usize = response.headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
        let (json, rest) = response.body.split_at(length);
        let json: Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], data.len());
        assert_eq!(rest, data, "{datatype}");
    }
}

#[test]
fn binary_and_json_are_mixed_as_asked_for() {
    let mut b = input("b", "INT64", &[1], &Value::Null);
    b.as_object_mut().unwrap().remove("data");
    b["parameters"] = json!({ "binary_data_size": 8 });
    let request = json!({
        "inputs": [b, input("a", "FP32", &[1, 3], &json!([1, 2, 3]))],
        "outputs": [{ "name": "sum", "parameters": { "binary_data": false } }, { "name": "label" }],
        "parameters": { "binary_data_output": true, "custom": [1, { "a": null }] },
    });
    let (length, body) = binary(&request, &5_i64.to_le_bytes());
    let server = server(ServerSettings::default());
    let headers = [("inference-header-content-length", length.as_str())];
    let response = ask(&server, "POST", "/v2/models/two_in_two_out/infer", &headers, body.clone());
    let length: usize = response.headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    let (json, rest) = response.body.split_at(length);
    let json: Value = serde_json::from_slice(json).unwrap();
    assert_eq!(json["outputs"][0]["data"], json!([6.0, 7.0, 8.0]));
    assert_eq!(rest, 5_i64.to_le_bytes());

    let without = ask(&server, "POST", "/v2/models/two_in_two_out/infer", &[], body);
    let without = told(&without);
    assert!(error(&without).starts_with("inputs[0] has `binary_data_size` 8, and 0 bytes are left"), "{without:?}");
    let (_, short) = binary(&request, &[]);
    let short = ask(&server, "POST", "/v2/models/two_in_two_out/infer", &[], short);
    let short = told(&short);
    assert!(error(&short).starts_with("inputs[0] has `binary_data_size` 8, and 0 bytes are left"), "{short:?}");
}

#[test]
fn goserve_takes_named_tensors_and_gives_labels_as_predictions() {
    let request = json!({ "tensors": { "a": [[1, 2, 3]], "b": [1] } });
    let (status, answer) = post("/v1/models/two_in_two_out/infer", &request);
    assert_eq!(
        (status, answer),
        (
            200,
            json!({ "model_name": "two_in_two_out", "outputs": { "sum": [[2.0, 3.0, 4.0]], "label": [1] }, "predictions": [1] })
        )
    );
    let (_, answer) = post("/v1/models/identity_fp32@1/infer", &json!({ "inputs": [[1]] }));
    assert_eq!(answer, json!({ "model_name": "identity_fp32", "outputs": { "output0": [[1.0]] } }));
    let (_, answer) = post("/v1/models/scalar/infer", &json!({ "inputs": 0.5 }));
    assert_eq!(answer["outputs"]["output0"], json!(0.5));
}

#[test]
fn goserve_refuses_with_what_it_expected() {
    for (model, request, expected) in [
        (
            "two_in_two_out",
            json!({ "inputs": [[1]] }),
            "`inputs` is for models with one input, and this one has `a`, `b`",
        ),
        ("two_in_two_out", json!({ "tensors": { "c": [1] } }), "the model has no input `c`; it has `a`, `b`"),
        (
            "two_in_two_out",
            json!({ "tensors": { "a": [[1, 2, 3]] } }),
            "the input `b` is missing: INT64 of the shape [batch]",
        ),
        (
            "two_in_two_out",
            json!({ "tensors": { "a": [[1, 2], [3]] } }),
            "the data[1] of the input `a` has to be an array as long",
        ),
        ("identity_fp32", json!({ "tensor": {} }), "the request has no key `tensor`; it can have `tensors`"),
        ("identity_fp32", json!({}), "the request has no `tensors`"),
        ("identity_fp32", json!({ "inputs": [[1]], "tensors": {} }), "the request has both `tensors` and `inputs`"),
        ("identity_fp32", json!({ "inputs": [1] }), "the input `input0` has to have the shape [batch, any], got [1]"),
        ("undefined", json!({ "inputs": [[1]] }), "element 0 of the output `output0` is NaN, which JSON cannot say"),
    ] {
        let answer = post(&format!("/v1/models/{model}/infer"), &request);
        assert!(answer.0 == 400 && error(&answer).starts_with(expected), "{request}: {answer:?}");
    }
    let body = r#"{"tensors":{"input0":[[1]],"input0":[[1]]}}"#;
    let response = ask(&server(ServerSettings::default()), "POST", "/v1/models/identity_fp32/infer", &[], body);
    assert_eq!(error(&told(&response)), "the input `input0` is given more than once");
}

#[test]
fn trouble_of_a_model_has_its_status_and_keeps_its_secrets() {
    let request = json!({ "inputs": [input("input0", "FP32", &[1, 1], &json!([1]))] });
    for (model, status, text) in [
        ("busy", 503, "the model is busy"),
        ("slow", 504, "the deadline has passed"),
        ("broken", 500, "the model failed"),
        ("nothing", 404, "no model `nothing`"),
    ] {
        let response = ask(
            &server(ServerSettings::default()),
            "POST",
            &format!("/v2/models/{model}/infer"),
            &[],
            request.to_string(),
        );
        assert_eq!(told(&response), (status, json!({ "error": text })));
        assert_eq!(response.headers.get("retry-after").is_some(), status == 503);
    }
}

#[test]
fn a_deadline_that_has_passed_runs_nothing() {
    let body = json!({ "inputs": [input("input0", "FP32", &[1, 1], &json!([1]))] }).to_string();
    let request = ServerRequest {
        method: &Method::POST,
        path: "/v2/models/identity_fp32/infer",
        headers: &HeaderMap::new(),
        body: body.into(),
        deadline: Some(Instant::now() - Duration::from_millis(1)),
    };
    assert_eq!(wait(server(ServerSettings::default()).answer(request)).status, 504);
}

#[test]
fn the_future_of_an_answer_takes_little_of_the_requests() {
    let (server, headers) = (server(ServerSettings::default()), HeaderMap::new());
    let (method, path, body) = (&Method::GET, "/v2", Bytes::new());
    let size = size_of_val(&server.answer(ServerRequest { method, path, headers: &headers, body, deadline: None }));
    assert!(size <= 1024, "it takes {size} bytes");
}

#[test]
fn only_the_models_of_the_route_are_reached() {
    let settings =
        ServerSettings { models: Reach::Named(["scalar".to_owned(), "absent".to_owned()].into()), ..managed() };
    let server = server(settings);
    let status =
        |method: &str, path: &str, body: &str| ask(&server, method, path, &[], body.to_owned()).status.as_u16();
    assert_eq!(status("GET", "/v2/models/scalar", ""), 200);
    assert_eq!(status("GET", "/v2/models/busy", ""), 404);
    assert_eq!(status("DELETE", "/v1/models/busy", ""), 404);
    assert_eq!(status("POST", "/v1/models", r#"{"name":"busy","path":"busy.onnx"}"#), 404);
    assert_eq!(status("GET", "/v2/health/ready", ""), 503);
    let listed = told(&ask(&server, "GET", "/v1/models", &[], ""));
    assert_eq!(listed.1["models"].as_array().unwrap().len(), 1);
    let index = told(&ask(&server, "POST", "/v2/repository/index", &[], ""));
    assert_eq!(index.1, json!([{ "name": "scalar", "version": "1", "state": "READY", "reason": "" }]));
}

#[test]
fn models_are_managed_only_where_that_is_allowed() {
    let load = r#"{"name":"new","path":"new.onnx"}"#;
    let closed = server(ServerSettings::default());
    for (method, path) in [
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/scalar"),
        ("POST", "/v2/repository/models/scalar/load"),
        ("POST", "/v2/repository/models/scalar/unload"),
    ] {
        assert_eq!(ask(&closed, method, path, &[], load).status, 403, "{path}");
    }
    let open = server(managed());
    let answer = |method: &str, path: &str, body: &str| told(&ask(&open, method, path, &[], body.to_owned()));
    let loaded = answer("POST", "/v1/models", load);
    assert_eq!((loaded.0, &loaded.1["version"], &loaded.1["path"]), (201, &json!(1), &json!("new.onnx")));
    assert_eq!(answer("POST", "/v2/repository/models/new/load", ""), (200, json!({ "name": "new", "version": "2" })));
    assert_eq!(answer("DELETE", "/v1/models/new@1", "").0, 200);
    assert_eq!(answer("GET", "/v2/models/new/versions/1", "").0, 404);
    assert_eq!(
        answer("POST", "/v2/repository/models/new/unload", r#"{"parameters":{"unload_dependents":false}}"#),
        (200, json!({}))
    );
    assert_eq!(answer("GET", "/v2/models/new", "").0, 404);
    let unknown = answer("POST", "/v2/repository/models/new/load", "");
    assert!(unknown.0 == 400 && error(&unknown).contains("`parameters.path`"), "{unknown:?}");
    let path = r#"{"parameters":{"path":"other.onnx"}}"#;
    assert_eq!(answer("POST", "/v2/repository/models/new/load", path).0, 200);
    assert_eq!(answer("POST", "/v1/models", r#"{"name":"x","path":"../x"}"#).0, 400);
    assert_eq!(answer("POST", "/v2/repository/models/new/load", r#"{"parameters":{"config":"{}"}}"#).0, 501);
}

#[test]
fn wrong_methods_and_encodings_are_told_apart() {
    let server = server(ServerSettings { prefix: "/ml".to_owned(), ..ServerSettings::default() });
    let response = ask(&server, "GET", "/ml/v2/models/scalar/infer", &[], "");
    assert_eq!((response.status.as_u16(), &response.headers["allow"]), (405, &HeaderValue::from_static("POST")));
    let zipped = ask(&server, "POST", "/ml/v2/models/scalar/infer", &[("content-encoding", "br")], "");
    assert_eq!(zipped.status, 415);
    let head = ask(&server, "HEAD", "/ml/v2/health/live", &[], "");
    assert!(head.status == 200 && head.body.is_empty());
}

#[test]
fn a_large_body_is_decoded_off_the_thread_with_the_same_result() {
    let numbers: Vec<f32> = (0..100_000).map(|number| number as f32 / 7.0).collect();
    let request = json!({ "inputs": [numbers] });
    let (status, answer) = post("/v1/models/identity_fp32/infer", &request);
    assert_eq!(status, 200, "{}", answer["error"]);
    let came: Vec<f32> = serde_json::from_value(answer["outputs"]["output0"][0].clone()).unwrap();
    assert_eq!(came, numbers);
}

/// Zeros in a row for `identity_fp32`, as JSON.
fn zeros(rows: usize) -> String {
    let zeros = vec!["0"; rows].join(",");
    format!(r#"{{"inputs":[{{"name":"input0","shape":[1,{rows}],"datatype":"FP32","data":[{zeros}]}}]}}"#)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_body_is_read_up_to_the_limit() {
    let limits = Limits { inflated: zeros(1000).len(), ..Limits::default() };
    let server = server(ServerSettings { limits, ..ServerSettings::default() });
    let path = "/v2/models/identity_fp32/infer";
    for (coding, pack) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("deflate", zlib)] {
        let send = |rows: usize| {
            told(&ask(&server, "POST", path, &[("content-encoding", coding)], pack(zeros(rows).as_bytes())))
        };
        let (status, answer) = send(1000);
        assert_eq!((status, &answer["outputs"][0]["shape"]), (200, &json!([1, 1000])), "{answer}");
        let answer = send(1001);
        assert!(answer.0 == 413 && error(&answer).contains("once it is decompressed"), "{answer:?}");
    }
    let goserve = br#"{"inputs":[[1,2]]}"#;
    let response =
        ask(&server, "POST", "/v1/models/identity_fp32/infer", &[("content-encoding", "gzip")], gzip(goserve));
    assert_eq!(told(&response).1["outputs"]["output0"], json!([[1.0, 2.0]]));
    let (json, data) = binary(
        &json!({ "inputs": [{ "name": "input0", "shape": [1, 1], "datatype": "FP32", "parameters": { "binary_data_size": 4 } }] }),
        &[0, 0, 128, 63],
    );
    let headers = [("content-encoding", "gzip"), ("inference-header-content-length", json.as_str())];
    assert_eq!(told(&ask(&server, "POST", path, &headers, gzip(&data))).1["outputs"][0]["data"], json!([1.0]));
    let response = ask(&server, "POST", path, &[("content-encoding", "zstd")], "x");
    assert_eq!(
        (response.status.as_u16(), &response.headers["accept-encoding"]),
        (415, &HeaderValue::from_static("gzip, deflate"))
    );
}

#[test]
fn inputs_may_have_no_elements() {
    let (status, answer) =
        post("/v2/models/identity_fp32/infer", &json!({ "inputs": [input("input0", "FP32", &[0, 2], &json!([]))] }));
    assert_eq!(
        (status, &answer["outputs"][0]["shape"], &answer["outputs"][0]["data"]),
        (200, &json!([0, 2]), &json!([]))
    );
    let (status, answer) = post(
        "/v2/models/identity_fp32/infer",
        &json!({ "inputs": [input("input0", "FP32", &[2, 0], &json!([[], []]))] }),
    );
    assert_eq!(
        (status, &answer["outputs"][0]["shape"], &answer["outputs"][0]["data"]),
        (200, &json!([2, 0]), &json!([]))
    );
    let inputs = json!([input("a", "FP32", &[0, 3], &json!([])), input("b", "INT64", &[0], &json!([]))]);
    let (status, answer) = post("/v2/models/two_in_two_out/infer", &json!({ "inputs": inputs }));
    assert_eq!((status, &answer["outputs"][0]["shape"]), (200, &json!([0, 3])), "{answer}");
    // Arrays cannot say the inner size; the model does.
    let (status, answer) = post("/v1/models/two_in_two_out/infer", &json!({ "tensors": { "a": [], "b": [] } }));
    assert_eq!((status, &answer["outputs"]), (200, &json!({ "sum": [], "label": [] })), "{answer}");
    let answer = post("/v2/models/broken/infer", &json!({ "inputs": [input("input0", "FP32", &[0, 1], &json!([]))] }));
    assert!(answer.0 == 400 && error(&answer).contains("an input has no elements"), "{answer:?}");
}

/// The cases of tests/clients/v2_cases.json, which the suite of clients sends to a whole gateway.
#[test]
fn the_cases_of_the_clients_suite_hold() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        method: Option<String>,
        path: String,
        #[serde(default)]
        headers: std::collections::BTreeMap<String, String>,
        json: Option<Value>,
        #[serde(default)]
        text: Vec<Value>,
        hex: Option<String>,
        status: u16,
        error: Option<String>,
    }
    let file: Value = serde_json::from_str(include_str!("../../../tests/clients/v2_cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_value(file["cases"].clone()).unwrap();
    let server = server(ServerSettings::default());
    for mut case in cases {
        let part = |part: &Value| match part.as_str() {
            Some(text) => text.to_owned(),
            None => part["text"].as_str().unwrap().repeat(part["times"].as_u64().unwrap() as usize),
        };
        let mut body = match &case.json {
            Some(json) => json.to_string().into_bytes(),
            None => case.text.iter().map(part).collect::<String>().into_bytes(),
        };
        if let Some(hex) = &case.hex {
            let length = body.len().to_string();
            case.headers.entry("Inference-Header-Content-Length".to_owned()).or_insert(length);
            let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
            body.extend(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]));
        }
        let headers: Vec<(&str, &str)> =
            case.headers.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let response = ask(&server, case.method.as_deref().unwrap_or("POST"), &case.path, &headers, body);
        let answer = String::from_utf8_lossy(&response.body);
        assert_eq!(response.status.as_u16(), case.status, "{}: {answer}", case.name);
        if let Some(expected) = case.error {
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let error = answer["error"].as_str().unwrap();
            assert!(error.contains(&expected), "{}: expected {expected}, got {error}", case.name);
        }
    }
}
