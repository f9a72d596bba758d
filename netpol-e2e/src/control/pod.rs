//! A pod in the length at which API servers send it: some 4 KB.

use serde_json::{Value, json};

/// What tells one pod from another.
pub(super) struct Spec<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: u32,
    pub(super) node: &'a str,
    pub(super) address: &'a str,
    pub(super) labels: Value,
}

/// The pod, running.
pub(super) fn shown(pod: &Spec<'_>) -> Value {
    let since = "2026-11-01T00:00:00Z";
    let probe = json!({
        "httpGet": { "path": "/healthz", "port": "http", "scheme": "HTTP" },
        "initialDelaySeconds": 5, "timeoutSeconds": 1, "periodSeconds": 10,
        "successThreshold": 1, "failureThreshold": 3,
    });
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": since });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": pod.name, "namespace": pod.namespace,
            "uid": format!("11111111-0000-4000-8000-{:012x}", pod.uid),
            "creationTimestamp": since,
            "labels": pod.labels,
            "annotations": { "checksum/config": "a".repeat(64) },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "owner",
                "uid": "22222222-0000-4000-8000-000000000000",
                "controller": true, "blockOwnerDeletion": true,
            }],
            "managedFields": [{
                "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": since,
                "fieldsType": "FieldsV1", "subresource": "status",
                "fieldsV1": { "f:status": {
                    "f:conditions": { "k:{\"type\":\"Ready\"}": { "f:status": {}, "f:type": {} } },
                    "f:containerStatuses": {}, "f:hostIP": {}, "f:phase": {}, "f:podIP": {}, "f:podIPs": {},
                } },
            }],
        },
        "spec": {
            "nodeName": pod.node, "serviceAccountName": "default", "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "priority": 0,
            "terminationGracePeriodSeconds": 30,
            "containers": [{
                "name": "main", "image": "registry.example.com/workload:1.2.3",
                "imagePullPolicy": "IfNotPresent", "args": ["--listen", ":8080"],
                "env": [
                    { "name": "POD_IP", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } } },
                    { "name": "LOG", "value": "info" },
                ],
                "ports": [
                    { "name": "http", "containerPort": 8080, "protocol": "TCP" },
                    { "name": "metrics", "containerPort": 9090, "protocol": "TCP" },
                ],
                "resources": { "limits": { "memory": "256Mi" }, "requests": { "cpu": "100m", "memory": "256Mi" } },
                "volumeMounts": [{ "name": "token", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" }],
                "livenessProbe": probe, "readinessProbe": probe,
            }],
            "tolerations": [
                { "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
                { "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 },
            ],
            "volumes": [{ "name": "token", "projected": { "defaultMode": 420, "sources": [
                { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
                { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            ] } }],
        },
        "status": {
            "phase": "Running", "qosClass": "Burstable", "startTime": since, "hostIP": "172.20.0.1",
            "podIP": pod.address, "podIPs": [{ "ip": pod.address }],
            "conditions": [
                condition("PodReadyToStartContainers"), condition("Initialized"),
                condition("Ready"), condition("ContainersReady"), condition("PodScheduled"),
            ],
            "containerStatuses": [{
                "name": "main", "ready": true, "started": true, "restartCount": 0,
                "image": "registry.example.com/workload:1.2.3",
                "imageID": format!("registry.example.com/workload@sha256:{}", "b".repeat(64)),
                "containerID": format!("containerd://{}", "c".repeat(64)),
                "state": { "running": { "startedAt": since } },
            }],
        },
    })
}
