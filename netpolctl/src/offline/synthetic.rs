//! Addresses for pods whose manifests have none, as manifests in git do.
//!
//! They come from the networks for benchmarks, 198.18.0.0/15 (RFC 2544) and 2001:2::/48
//! (RFC 5180): no policy has a reason to name those, so an ipBlock matches a synthetic address only
//! if it is meant for everyone. An ipBlock meant for the pod network does not match it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

/// The first address that is given, before the first pod.
const FIRST_V4: u32 = u32::from_be_bytes([198, 18, 0, 0]);
/// How many IPv4 addresses there are to give.
const ROOM: u32 = 1 << 17;

/// The addresses of the pod with this number, from one: one of each family.
pub(crate) fn addresses(number: u32) -> [IpAddr; 2] {
    let v4 = Ipv4Addr::from(FIRST_V4 + number % ROOM);
    let [high, low] = [(number >> 16) as u16, number as u16];
    let v6 = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, high, low);
    [IpAddr::V4(v4), IpAddr::V6(v6)]
}

/// Gives a Service's manifest a ClusterIP of each family, unless it has one or is meant to have
/// none; gives those that were given.
pub(crate) fn give_cluster_ip(service: &mut Value, number: u32) -> Vec<IpAddr> {
    let spec = service.get("spec");
    let field = |name| spec.and_then(|spec| spec.get(name));
    let text = |name| field(name).and_then(Value::as_str).unwrap_or_default();
    let listed = field("clusterIPs").and_then(Value::as_array);
    let has_one = !text("clusterIP").is_empty() || listed.is_some_and(|l| !l.is_empty());
    let Some(Value::Object(spec)) = service.get_mut("spec") else {
        return Vec::new();
    };
    if has_one || spec.get("type").is_some_and(|kind| kind == "ExternalName") {
        return Vec::new();
    }
    // From the other end of the addresses than pods.
    let given = addresses(ROOM - 1 - number % ROOM);
    spec.insert("clusterIPs".to_owned(), json!(given));
    given.to_vec()
}

/// Whether a pod's manifest has no address.
pub(crate) fn lacks_address(pod: &Value) -> bool {
    let status = pod.get("status");
    let field = |name| status.and_then(|s| s.get(name));
    let one = field("podIP").and_then(Value::as_str).unwrap_or_default();
    let all = field("podIPs").and_then(Value::as_array);
    one.is_empty() && all.is_none_or(Vec::is_empty)
}

/// Gives a pod's manifest addresses.
pub(crate) fn give(pod: &mut Value, addresses: &[IpAddr]) {
    let listed: Vec<Value> = addresses
        .iter()
        .map(|a| json!({"ip": a.to_string()}))
        .collect();
    let Value::Object(fields) = pod else { return };
    let status = fields.entry("status").or_insert(Value::Null);
    if !status.is_object() {
        *status = json!({});
    }
    status["podIPs"] = Value::Array(listed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pod_has_its_own_address_of_each_family() {
        assert_eq!(
            addresses(1).map(|a| a.to_string()),
            ["198.18.0.1", "2001:2::1"]
        );
        assert_eq!(
            addresses(300).map(|a| a.to_string()),
            ["198.18.1.44", "2001:2::12c"]
        );
        assert_eq!(addresses(70_000)[1].to_string(), "2001:2::1:1170");
    }

    #[test]
    fn a_status_without_an_address_is_as_good_as_none() {
        let mut pod = json!({"kind": "Pod", "status": {"phase": "Pending"}});
        assert!(lacks_address(&pod));
        give(&mut pod, &addresses(1));
        assert!(!lacks_address(&pod));
        assert_eq!(pod["status"]["phase"], "Pending");
        assert_eq!(pod["status"]["podIPs"][0]["ip"], "198.18.0.1");
    }
}
