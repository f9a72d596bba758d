//! Who is who: one authority for the cluster, a certificate for each user and for the API server, and kubeconfigs.
//!
//! The authority's key stays in the cluster's directory, so that users can be made later.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::json;

use super::{
    address::{self, API_PORT, API_SERVICE, CONTROL_PLANE},
    directory::Directory,
    error::{ClusterError, Result},
};
use crate::lab::error::Doing;

const AUTHORITY: &str = "netpol-test-cluster";

/// From where the API server is spoken to: its address differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// This computer.
    Here,
    /// A machine of the cluster.
    Inside,
}

/// A user for the API server's RBAC.
#[derive(Debug, Clone, Copy)]
pub(super) struct User<'a> {
    /// File names: `pki/FILE.crt`, `kubeconfigs/FILE`.
    pub(super) file: &'a str,
    pub(super) name: &'a str,
    pub(super) groups: &'a [&'a str],
    pub(super) from: From,
}

/// The cluster's own authority and the files it issues.
#[derive(Debug)]
pub(super) struct Pki<'a> {
    directory: &'a Directory,
    wire: u8,
    issuer: Issuer<'static, KeyPair>,
}

impl<'a> Pki<'a> {
    /// Makes a new authority, the API server's certificate and the key of service accounts.
    pub(super) fn create(directory: &'a Directory, wire: u8) -> Result<Self> {
        let key = KeyPair::generate()?;
        let params = authority()?;
        let pki = Self {
            directory,
            wire,
            issuer: Issuer::new(params.clone(), key),
        };
        let certificate = params.self_signed(pki.issuer.key())?;
        pki.write("ca.crt", &certificate.pem())?;
        pki.write("ca.key", &pki.issuer.key().serialize_pem())?;
        let accounts = KeyPair::generate()?;
        pki.write("sa.key", &accounts.serialize_pem())?;
        pki.write("sa.pub", &accounts.public_key_pem())?;
        pki.issue_server()?;
        Ok(pki)
    }

    /// The authority of a cluster that has one.
    pub(super) fn open(directory: &'a Directory, wire: u8) -> Result<Self> {
        let path = directory.path("pki/ca.key");
        let pem = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        Ok(Self {
            directory,
            wire,
            issuer: Issuer::new(authority()?, KeyPair::from_pem(&pem)?),
        })
    }

    fn issue_server(&self) -> Result<()> {
        let names = ["localhost", "kubernetes.default.svc", "kubernetes.default"];
        let mut params = CertificateParams::new(names.map(str::to_owned))?;
        let (door, _) = address::doorstep(self.wire);
        let mut addresses: Vec<IpAddr> = vec![IpAddr::from([127, 0, 0, 1]), door.into()];
        for pair in [CONTROL_PLANE, API_SERVICE] {
            addresses.extend([IpAddr::from(pair.v4), IpAddr::from(pair.v6)]);
        }
        let sans = addresses.into_iter().map(SanType::IpAddress);
        params.subject_alt_names.extend(sans);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue("server", "kube-apiserver", &[], params)
    }

    /// Makes a user and its kubeconfig; returns the latter's path.
    pub(super) fn issue_user(&self, user: &User<'_>) -> Result<PathBuf> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(user.file, user.name, user.groups, params)?;
        let address: IpAddr = match user.from {
            From::Here => address::doorstep(self.wire).0.into(),
            From::Inside => CONTROL_PLANE.v4.into(),
        };
        let pki = |name: &str| self.directory.path("pki").join(name);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
            "clusters": [{"name": "cluster", "cluster": {
                "server": format!("https://{address}:{API_PORT}"),
                "certificate-authority": pki("ca.crt"),
            }}],
            "users": [{"name": user.name, "user": {
                "client-certificate": pki(&format!("{}.crt", user.file)),
                "client-key": pki(&format!("{}.key", user.file)),
            }}],
            "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": user.name}}],
        });
        let relative = format!("kubeconfigs/{}", user.file);
        self.directory.write(&relative, &config)?;
        Ok(self.directory.path(&relative))
    }

    fn issue(
        &self,
        file: &str,
        name: &str,
        groups: &[&str],
        mut params: CertificateParams,
    ) -> Result<()> {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.write(&format!("{file}.crt"), &certificate.pem())?;
        self.write(&format!("{file}.key"), &key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.path("pki").join(name);
        let doing = || format!("write {}", path.display());
        fs::write(&path, text).doing(doing)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).doing(doing)?;
        Ok(())
    }
}

fn authority() -> Result<CertificateParams, ClusterError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}
