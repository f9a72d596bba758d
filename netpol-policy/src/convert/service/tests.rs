use serde_json::{Value, json};

use crate::object::{InvalidObject, Object, objects_of};
use crate::policy::Protocol;
use crate::service::{EndpointSlice, Service, TargetPort};

fn read(value: &Value) -> Result<Object, InvalidObject> {
    Object::from_value(value).map(|object| object.expect("a kind netpol reads"))
}

fn service(spec: Value, status: Value) -> Result<Service, InvalidObject> {
    let mut value = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "shop", "name": "web" },
    });
    value["spec"] = spec;
    value["status"] = status;
    read(&value).map(|object| match object {
        Object::Service(service) => (*service).clone(),
        other => panic!("{other:?}"),
    })
}

fn slice(fields: Value) -> Result<EndpointSlice, InvalidObject> {
    let mut value = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": "shop", "name": "web-x",
            "labels": { "kubernetes.io/service-name": "web" },
        },
        "addressType": "IPv4",
    });
    let Value::Object(fields) = fields else {
        panic!("no fields: {fields}");
    };
    value.as_object_mut().expect("an object").extend(fields);
    read(&value).map(|object| match object {
        Object::EndpointSlice(slice) => (*slice).clone(),
        other => panic!("{other:?}"),
    })
}

fn words(addresses: &[std::net::IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_has_the_addresses_its_nodes_answer_for() {
    let service = service(
        json!({
            "type": "LoadBalancer",
            "selector": { "app": "web" },
            "clusterIP": "10.96.0.7",
            "clusterIPs": ["10.96.0.7", "fd00:96::7"],
            "externalIPs": ["198.51.100.7"],
            "ports": [
                { "name": "http", "port": 80, "targetPort": "web", "nodePort": 30080 },
                { "name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353 },
                { "name": "same", "port": 443 },
            ],
        }),
        json!({ "loadBalancer": { "ingress": [
            { "ip": "203.0.113.7" },
            { "ip": "203.0.113.8", "ipMode": "VIP" },
            { "ip": "203.0.113.9", "ipMode": "Proxy" },
            { "hostname": "elsewhere.example" },
        ] } }),
    )
    .expect("valid");
    assert_eq!(words(&service.cluster_ips), ["10.96.0.7", "fd00:96::7"]);
    let external = ["198.51.100.7", "203.0.113.7", "203.0.113.8"];
    assert_eq!(words(&service.external_ips), external);
    let [http, dns, same] = &service.ports[..] else {
        panic!("{:?}", service.ports);
    };
    assert_eq!(http.target, TargetPort::Named("web".into()));
    assert_eq!(http.node_port.map(u16::from), Some(30080));
    assert_eq!((dns.protocol, dns.node_port), (Protocol::Udp, None));
    assert_eq!(dns.target.to_string(), "5353");
    assert_eq!(same.target.to_string(), "443");
    assert!(service.has_frontends());
}

#[test]
fn headless_and_external_names_have_no_frontends() {
    let ports = json!([{ "port": 80 }]);
    let headless = service(
        json!({ "clusterIP": "None", "clusterIPs": ["None"], "ports": ports }),
        Value::Null,
    );
    assert!(!headless.expect("valid").has_frontends());
    let name = service(
        json!({ "type": "ExternalName", "externalName": "example.com",
                "externalIPs": ["198.51.100.7"], "ports": ports }),
        Value::Null,
    );
    assert!(!name.expect("valid").has_frontends());
    let pending = service(json!({ "clusterIP": "", "ports": ports }), Value::Null);
    assert!(!pending.expect("valid").has_frontends());
}

#[test]
fn a_service_without_a_selector_selects_nothing() {
    let none = service(json!({ "selector": {} }), Value::Null).expect("valid");
    let some = service(json!({ "selector": { "app": "web" } }), Value::Null).expect("valid");
    let web = [("app".to_owned(), "web".to_owned())].into();
    assert!(!none.selects(&web) && some.selects(&web));
    assert!(!some.selects(&[("app".to_owned(), "db".to_owned())].into()));
}

#[test]
fn errors_of_a_service_name_the_field() {
    let field = |spec, status| match service(spec, status) {
        Err(invalid) => (invalid.object.expect("named").to_string(), invalid.field),
        Ok(service) => panic!("{service:?}"),
    };
    let named = |field: &str| ("Service shop/web".to_owned(), field.to_owned());
    let port = |port: Value| field(json!({ "ports": [port] }), Value::Null);
    assert_eq!(port(json!({ "port": 0 })), named("spec.ports[0].port"));
    let target = json!({ "port": 1, "targetPort": 70000 });
    assert_eq!(port(target), named("spec.ports[0].targetPort"));
    let target = json!({ "port": 1, "targetPort": [1] });
    assert_eq!(port(target), named("spec.ports[0].targetPort"));
    let node_port = json!({ "port": 1, "nodePort": -1 });
    assert_eq!(port(node_port), named("spec.ports[0].nodePort"));
    let protocol = json!({ "port": 1, "protocol": "tcp" });
    assert_eq!(port(protocol), named("spec.ports[0].protocol"));
    let address = field(json!({ "clusterIPs": ["10.0.0"] }), Value::Null);
    assert_eq!(address, named("spec.clusterIPs[0]"));
    let ingress = json!({ "loadBalancer": { "ingress": [{ "ip": "x" }] } });
    let address = field(json!({}), ingress);
    assert_eq!(address, named("status.loadBalancer.ingress[0].ip"));
    assert_eq!(field(Value::Null, Value::Null), named("spec"));
}

#[test]
fn a_slice_has_every_endpoint_whatever_its_conditions() {
    let slice = slice(json!({
        "endpoints": [
            { "addresses": ["10.0.0.2"], "conditions": { "ready": false, "terminating": true } },
            { "addresses": ["10.0.0.1"], "conditions": { "ready": true },
              "targetRef": { "kind": "Pod", "name": "web-1" } },
            { "addresses": null },
        ],
        "ports": [
            { "name": "http", "protocol": "TCP", "port": 8080 },
            { "port": 53, "protocol": "UDP" },
            { "name": "all" },
        ],
    }))
    .expect("valid");
    assert_eq!(slice.service.as_deref(), Some("web"));
    let endpoints: Vec<_> = slice
        .endpoints
        .iter()
        .map(|e| (e.address.to_string(), e.is_pod))
        .collect();
    let wanted = [
        ("10.0.0.1".to_owned(), true),
        ("10.0.0.2".to_owned(), false),
    ];
    assert_eq!(endpoints, wanted);
    let ports: Vec<_> = slice
        .ports
        .iter()
        .map(|port| (port.name.as_str(), port.protocol, u16::from(port.number)))
        .collect();
    let wanted = [("", Protocol::Udp, 53), ("http", Protocol::Tcp, 8080)];
    assert_eq!(ports, wanted);
}

#[test]
fn a_slice_of_names_has_no_addresses() {
    let endpoints = json!([{ "addresses": ["elsewhere.example"] }]);
    let names = slice(json!({ "addressType": "FQDN", "endpoints": endpoints })).expect("valid");
    assert_eq!(names.endpoints, vec![]);
}

#[test]
fn errors_of_a_slice_name_the_field() {
    let field = |fields| match slice(fields) {
        Err(invalid) => invalid.field,
        Ok(slice) => panic!("{slice:?}"),
    };
    let endpoints = json!([{ "addresses": ["10.0.0.1", "10.0.0"] }]);
    let address = field(json!({ "endpoints": endpoints }));
    assert_eq!(address, "endpoints[0].addresses[1]");
    assert_eq!(
        field(json!({ "ports": [{ "port": 70000 }] })),
        "ports[0].port"
    );
    assert_eq!(field(json!({ "addressType": null })), "addressType");
    let protocol = json!([{ "port": 1, "protocol": "tcp" }]);
    assert_eq!(field(json!({ "ports": protocol })), "ports[0].protocol");
}

#[test]
fn lists_give_their_kind_and_other_groups_are_passed_over() {
    let list = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList",
        "items": [{ "metadata": { "name": "a" }, "addressType": "IPv4" }],
    });
    let [item] = &objects_of(list)[..] else {
        panic!("one item");
    };
    assert!(matches!(read(item), Ok(Object::EndpointSlice(_))));
    let knative = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": { "name": "a" }, "spec": {},
    });
    assert_eq!(Object::from_value(&knative), Ok(None));
}
