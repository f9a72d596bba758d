//! The configuration on standard input, and the result of the plugins before.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use netpol_api::CniKey;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    VERSIONS,
    error::{CniError, Code},
};

/// Where the agent listens.
pub(crate) const SOCKET: &str = "/run/netpol/agent.sock";
/// How long an ADD waits for the agent. Runtimes give a pod's sandbox minutes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// What of the configuration matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Configuration<'a> {
    #[serde(default)]
    cni_version: String,
    #[serde(default)]
    name: String,
    socket: Option<PathBuf>,
    timeout_seconds: Option<f64>,
    #[serde(borrow)]
    prev_result: Option<&'a RawValue>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Vec<ValidAttachment>>,
}

#[derive(Debug, Deserialize)]
struct ValidAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    ifname: String,
}

#[derive(Deserialize)]
struct PreviousResult {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    ips: Vec<Ip>,
}

#[derive(Deserialize)]
struct Interface {
    name: String,
    #[serde(default)]
    sandbox: String,
}

#[derive(Deserialize)]
struct Ip {
    address: String,
    interface: Option<i64>,
}

/// The version that an input names, as far as it can be read.
pub(crate) fn version_of(input: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        cni_version: String,
    }
    let version: Version = serde_json::from_str(input).ok()?;
    Some(version.cni_version)
}

impl<'a> Configuration<'a> {
    pub(crate) fn read(input: &'a str) -> Result<Self, CniError> {
        let configuration: Self =
            serde_json::from_str(input).map_err(|e| decode("cannot read the configuration", &e))?;
        let version = configuration.cni_version.as_str();
        if !VERSIONS.contains(&version) {
            return Err(CniError::new(
                Code::Version,
                "incompatible CNI version",
                format!(
                    "the configuration is of CNI version {version:?}; this plugin speaks {}",
                    VERSIONS.join(", ")
                ),
            ));
        }
        Ok(configuration)
    }

    pub(crate) fn network(&self) -> String {
        self.name.clone()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| SOCKET.into())
    }

    /// How long to wait for the agent.
    pub(crate) fn timeout(&self) -> Result<Duration, CniError> {
        let Some(seconds) = self.timeout_seconds else {
            return Ok(TIMEOUT);
        };
        let allowed = Duration::try_from_secs_f64(seconds).ok();
        allowed
            .filter(|timeout| (1..=110).contains(&timeout.as_secs()))
            .ok_or_else(|| {
                CniError::new(
                    Code::Configuration,
                    "invalid configuration",
                    format!("timeoutSeconds is {seconds}, which is not between 1 and 110"),
                )
            })
    }

    /// The result of the plugins before, as they wrote it.
    pub(crate) fn previous_result(&self) -> Result<&'a str, CniError> {
        let given = self.prev_result.map(RawValue::get);
        given.filter(|result| *result != "null").ok_or_else(|| {
            CniError::new(
                Code::Configuration,
                "no previous result",
                "netpol-cni makes no interface: it comes after the plugins that do, in one list",
            )
        })
    }

    /// The addresses that the sandbox's interface was given.
    pub(crate) fn addresses(&self, interface: &str) -> Result<BTreeSet<IpAddr>, CniError> {
        let result: PreviousResult = serde_json::from_str(self.previous_result()?)
            .map_err(|e| decode("cannot read the previous result", &e))?;
        let is_own = |place: i64| {
            let named = usize::try_from(place).ok();
            let named = named.and_then(|place| result.interfaces.get(place));
            named.is_none_or(|found| !found.sandbox.is_empty() && found.name == interface)
        };
        let own = result
            .ips
            .iter()
            .filter(|ip| ip.interface.is_none_or(is_own));
        let addresses = own.map(|ip| {
            let address = ip.address.split_once('/').map_or(&*ip.address, |(a, _)| a);
            address.parse().map_err(|_| {
                let details = format!("{:?} in ips is no address", ip.address);
                CniError::new(Code::Decode, "cannot read the previous result", details)
            })
        });
        addresses.collect()
    }

    /// The attachments that the runtime says there are.
    pub(crate) fn valid_attachments(&self) -> Result<Vec<CniKey>, CniError> {
        let given = self.valid_attachments.as_ref().ok_or_else(|| {
            CniError::new(
                Code::Configuration,
                "no attachments named",
                "the configuration has no \"cni.dev/valid-attachments\"",
            )
        })?;
        let keys = given.iter().map(|attachment| CniKey {
            container_id: attachment.container_id.clone(),
            interface: attachment.ifname.clone(),
        });
        Ok(keys.collect())
    }
}

fn decode(message: &str, error: &serde_json::Error) -> CniError {
    CniError::new(Code::Decode, message, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGED: &str = r#"{"cniVersion":"1.0.0","name":"n","type":"netpol-cni","prevResult":
        {"cniVersion":"1.0.0", "interfaces":[{"name":"cni0"},{"name":"veth1"},
        {"name":"eth0","sandbox":"/run/netns/x"},{"name":"net1","sandbox":"/run/netns/x"}],
        "ips":[{"address":"10.0.0.2/24","interface":2},{"address":"fd00::2/64","interface":2},
        {"address":"192.168.0.9/24","interface":3},{"address":"10.0.0.1/24","interface":0}]}}"#;

    #[test]
    fn the_addresses_are_those_of_the_sandbox_s_interface() {
        let configuration = Configuration::read(BRIDGED).expect("valid");
        let addresses = configuration.addresses("eth0").expect("readable");
        let wanted = ["10.0.0.2", "fd00::2"].map(|a| a.parse().expect("an address"));
        assert_eq!(addresses, BTreeSet::from(wanted));
    }

    #[test]
    fn an_address_of_no_named_interface_is_the_sandbox_s() {
        let input = r#"{"cniVersion":"0.4.0","prevResult":{"ips":
            [{"version":"4","address":"10.0.0.2/24"}]}}"#;
        let configuration = Configuration::read(input).expect("valid");
        assert_eq!(configuration.addresses("eth0").expect("readable").len(), 1);
    }

    #[test]
    fn what_does_not_do_is_refused_by_its_code() {
        let code = |input: &str| Configuration::read(input).expect_err("refused").code;
        assert_eq!(code("{"), Code::Decode);
        assert_eq!(code(r#"{"cniVersion":"0.2.0"}"#), Code::Version);
        assert_eq!(code("{}"), Code::Version);
        let read = |input| Configuration::read(input).expect("valid");
        let first = read(r#"{"cniVersion":"1.1.0"}"#);
        let refused = first.previous_result().expect_err("refused");
        assert_eq!(refused.code, Code::Configuration);
        for wrong in ["0", "-1", "1e9"] {
            let input = format!(r#"{{"cniVersion":"1.1.0","timeoutSeconds":{wrong}}}"#);
            let configuration = Configuration::read(&input).expect("valid");
            configuration.timeout().expect_err(wrong);
        }
    }
}
