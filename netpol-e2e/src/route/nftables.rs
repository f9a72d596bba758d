//! The policy as nftables takes it best: one look-up finds a pod's chain, one more whether the packet's
//! source, protocol and port are let in. Enforcers that write nftables well come to this form, with
//! connections that are known let through before anything else.

use std::fmt::Write;

use super::rules::Isolated;

/// What any rule of it needs of the system, and nothing that stays.
pub(super) const PROBE: &str = "\
table inet probe {
\tmap chains { type ipv4_addr : verdict; }
\tset peers { type ipv4_addr . inet_proto . inet_service; }
\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t\tct state established accept
\t\tip daddr vmap @chains
\t\tip saddr . meta l4proto . th dport @peers accept
\t}
}
delete table inet probe
";

/// What `nft -f -` reads.
pub(super) fn script(pods: &[Isolated]) -> String {
    let mut text = String::from("table inet pods {\n");
    let mut chains = String::new();
    let mut verdicts = Vec::new();
    for (n, pod) in pods.iter().enumerate() {
        let elements: Vec<String> = (pod.peers.iter())
            .flat_map(|peer| {
                pod.ports.iter().map(move |(protocol, port)| {
                    let protocol = protocol.to_string().to_lowercase();
                    format!("{peer} . {protocol} . {port}")
                })
            })
            .collect();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\tset let_in_{n} {{\n\t\ttype ipv4_addr . inet_proto . inet_service\n{}\t}}\n",
            elements_line(&elements)
        );
        let _ = write!(
            chains,
            "\tchain pod_{n} {{\n\t\tip saddr . meta l4proto . th dport @let_in_{n} accept\n\t\tdrop\n\t}}\n"
        );
        verdicts.push(format!("{} : goto pod_{n}", pod.address));
    }
    text.push_str(&chains);
    let _ = write!(
        text,
        "\tmap chain_of {{\n\t\ttype ipv4_addr : verdict\n{}\t}}\n",
        elements_line(&verdicts)
    );
    text.push_str(
        "\tchain forward {\n\
         \t\ttype filter hook forward priority filter; policy accept;\n\
         \t\tct state vmap { established : accept, related : accept, invalid : drop }\n\
         \t\tip daddr vmap @chain_of\n\
         \t}\n}\n",
    );
    text
}

/// nft knows no list without elements.
fn elements_line(elements: &[String]) -> String {
    if elements.is_empty() {
        return String::new();
    }
    format!("\t\telements = {{ {} }}\n", elements.join(", "))
}

#[cfg(test)]
mod tests {
    use super::script;
    use crate::route::rules::small;

    #[test]
    fn the_server_lets_in_its_peers_and_drops_the_rest() {
        let text = script(&small().pods);
        assert!(text.contains("10.244.0.2 : goto pod_1"), "{text}");
        let (_, set) = text.split_once("set let_in_1 {").expect("the server's set");
        let (set, _) = set.split_once('}').expect("its end");
        assert!(
            set.contains("10.244.1.2 . tcp . 8080, 10.244.1.2 . udp . 9000"),
            "{set}"
        );
        let chain = "ip saddr . meta l4proto . th dport @let_in_1 accept\n\t\tdrop";
        assert!(text.contains(chain), "{text}");
    }
}
