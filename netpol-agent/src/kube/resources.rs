//! The kinds that are watched, and what of them is not even read.

use netpol_policy::Kind;

/// A kind of objects, as the API server knows it.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    /// Group and version: `v1`, `networking.k8s.io/v1`.
    pub(super) group_version: &'static str,
    pub(super) plural: &'static str,
    /// Restricts which are sent.
    pub(super) fields: Option<&'static str>,
    /// What is passed over while decoding: much of an object, and nothing that policy looks at.
    pub(super) skip: &'static [&'static [&'static str]],
    /// If there is something here, all but this is passed over.
    pub(super) only: &'static [&'static [&'static str]],
}

const fn resource(
    kind: Kind,
    group_version: &'static str,
    plural: &'static str,
    skip: &'static [&'static [&'static str]],
) -> Resource {
    Resource {
        kind,
        group_version,
        plural,
        fields: None,
        skip,
        only: &[],
    }
}

/// Everything that is watched.
pub(super) const RESOURCES: &[Resource] = &[
    resource(Kind::Namespace, "v1", "namespaces", &[]),
    resource(Kind::Node, "v1", "nodes", NODE),
    Resource {
        // Containers of finished pods are gone: nothing is left to judge, and jobs leave many.
        fields: Some("status.phase!=Succeeded,status.phase!=Failed"),
        only: POD,
        ..resource(Kind::Pod, "v1", "pods", &[])
    },
    resource(Kind::Service, "v1", "services", &[]),
    resource(
        Kind::EndpointSlice,
        "discovery.k8s.io/v1",
        "endpointslices",
        &[],
    ),
    // Nothing is passed over in a policy's spec: a field that is not understood closes.
    resource(
        Kind::NetworkPolicy,
        "networking.k8s.io/v1",
        "networkpolicies",
        &[],
    ),
];

/// Passed over in objects of every kind.
pub(super) const METADATA: &[&[&str]] = &[
    &["metadata", "annotations"],
    &["metadata", "finalizers"],
    &["metadata", "managedFields"],
    &["metadata", "ownerReferences"],
];

const NODE: &[&[&str]] = &[
    &["status", "conditions"],
    &["status", "images"],
    &["status", "nodeInfo"],
];

/// What of a pod is read, all told: `netpol_policy`'s conversion looks at nothing else. A pod is some
/// 4 KB long, and there may be a hundred thousand.
const POD: &[&[&str]] = &[
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "uid"],
    &["metadata", "resourceVersion"],
    &["metadata", "creationTimestamp"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "labels"],
    // They say which static pod a pod mirrors.
    &["metadata", "annotations", "kubernetes.io/config.mirror"],
    &["metadata", "annotations", "kubernetes.io/config.hash"],
    &["spec", "nodeName"],
    &["spec", "hostNetwork"],
    &["spec", "containers", "*", "ports"],
    &["spec", "initContainers", "*", "ports"],
    &["status", "phase"],
    &["status", "podIP"],
    &["status", "podIPs"],
];

impl Resource {
    /// The path under which all of them are listed and watched.
    pub(super) fn path(&self) -> String {
        let Self {
            group_version,
            plural,
            ..
        } = self;
        match group_version.contains('/') {
            true => format!("/apis/{group_version}/{plural}"),
            false => format!("/api/{group_version}/{plural}"),
        }
    }

    /// As `kubectl` writes it: `networkpolicies.networking.k8s.io`.
    pub(super) fn full_name(&self) -> String {
        match self.group_version.split_once('/') {
            Some((group, _)) => format!("{}.{group}", self.plural),
            None => self.plural.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_that_objects_are_read_by() {
        for resource in RESOURCES {
            let kind = resource.kind.to_string();
            let version = netpol_policy::default_group_version(&kind);
            assert_eq!(resource.group_version, version, "{kind}");
        }
    }

    #[test]
    fn a_policy_is_read_whole() {
        let policies = RESOURCES.iter().find(|r| r.kind == Kind::NetworkPolicy);
        assert!(policies.is_some_and(|r| r.skip.is_empty() && r.only.is_empty()));
        assert!(METADATA.iter().all(|path| path[0] == "metadata"));
    }
}
