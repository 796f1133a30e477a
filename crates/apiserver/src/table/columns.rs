//! Definitions of columns.

use api_types::resource::ResourceInfo;
use serde_json::{Value, json};

/// The definitions of a resource's columns.
pub fn definitions(info: &ResourceInfo) -> Value {
    if info.is_custom() {
        return super::custom::definitions(info);
    }
    if info.columns.is_empty() {
        return json!([
            definition("Name", "string", "name", 0, ""),
            definition("Created At", "date", "", 0, "")
        ]);
    }
    info.columns
        .iter()
        .map(|column| {
            definition(&column.name, &column.type_, &column.format, column.priority, &column.description)
        })
        .collect()
}

/// The columns of a Scale, which is no resource of its own.
pub fn scale() -> Value {
    json!([
        definition("Name", "string", "", 0, ""),
        definition("Desired", "integer", "", 0, ""),
        definition("Available", "integer", "", 0, ""),
        definition("Age", "string", "", 0, ""),
    ])
}

/// One definition. Without a description of its own, the column gets the one that its name has everywhere.
pub fn definition(name: &str, type_: &str, format: &str, priority: i32, own: &str) -> Value {
    let description = match (own, describe(name)) {
        ("", Some(shared)) => shared.to_owned(),
        ("", None) => format!("{name} of the object"),
        (own, _) => own.to_owned(),
    };
    json!({
        "name": name, "type": type_, "format": format, "priority": priority, "description": description,
    })
}

/// What a column of that name shows. Names mean the same in all tables.
fn describe(name: &str) -> Option<&'static str> {
    Some(match name {
        "Name" => "Name of the object, unique among its kind and namespace",
        "Created At" => "When the object was made",
        "Age" => "How long ago the object was made",
        "Status" => "The state of the object in one word",
        "Ready" => "How many parts are ready, and of how many",
        "Restarts" => "How often containers were restarted, and when last",
        "IP" => "First address of the pod",
        "Node" => "Node that the object is on",
        "Nominated Node" => "Node on which the scheduler makes room",
        "Readiness Gates" => "How many readiness gates are passed, and of how many",
        "Desired" => "How many are wanted",
        "Current" => "How many exist",
        "Up-to-date" => "How many follow the newest template",
        "Available" => "How many have been ready for long enough, or whether the service answers",
        "Containers" => "Names of the template's containers",
        "Images" => "Images of the template's containers",
        "Selector" => "Labels of the pods that belong to the object",
        "Node Selector" => "Labels of the nodes that pods may run on",
        "Completions" => "How many pods have succeeded, and of how many",
        "Duration" => "Time from the start to the end, or until now",
        "Schedule" => "When jobs are made, in cron's form",
        "Timezone" => "Time zone of the schedule",
        "Suspend" => "Whether no new jobs are made",
        "Active" => "How many jobs are running",
        "Last Schedule" => "How long ago the last job was made",
        "Type" => "Which variety of its kind the object is",
        "Cluster-IP" => "Address inside the cluster",
        "External-IP" => "Addresses outside the cluster",
        "Port(s)" | "Ports" => "Ports that are served",
        "Endpoints" => "Addresses behind the service",
        "AddressType" => "Family of the addresses",
        "Hosts" => "Host names that rules are for",
        "Address" => "Addresses of the load balancer",
        "Pod-Selector" => "Labels of the pods that the policy is for",
        "Roles" => "Roles that the node's labels give it",
        "Version" => "Version of the kubelet",
        "Internal-IP" => "Address of the node inside the cluster",
        "OS-Image" => "Operating system",
        "Kernel-Version" => "Kernel, and the processor's architecture",
        "Container-Runtime" => "Container runtime and its version",
        "Last Seen" => "How long ago it happened last",
        "First Seen" => "How long ago it happened first",
        "Reason" => "Cause, in one word",
        "Object" => "What the event is about",
        "Subobject" => "Part of the object that the event is about",
        "Source" => "Who reports",
        "Message" => "What happened, for people",
        "Count" => "How often it happened",
        "Data" => "Number of entries",
        "Request" => "Used and allowed amounts of what is requested",
        "Limit" => "Used and allowed amounts of limits",
        "Capacity" => "Size of the volume",
        "Access Modes" => "How the volume may be mounted",
        "Reclaim Policy" | "ReclaimPolicy" => "What becomes of a volume that is given back",
        "Claim" => "Claim that the volume is bound to",
        "StorageClass" => "Class of the storage",
        "Volume" => "Volume that the claim is bound to",
        "VolumeMode" => "Filesystem or block device",
        "VolumeBindingMode" => "When volumes are provisioned and bound",
        "AllowVolumeExpansion" => "Whether volumes of the class may grow",
        "Provisioner" => "Who makes volumes of the class",
        "Reference" => "What is scaled",
        "Targets" => "Present and wanted values of the metrics",
        "MinPods" => "Least number of pods",
        "MaxPods" => "Greatest number of pods",
        "Replicas" => "Number of pods at present",
        "Min Available" => "How many pods must stay up",
        "Max Unavailable" => "How many pods may be down",
        "Allowed Disruptions" => "How many pods may be evicted now",
        "Role" => "Role that is granted",
        "Users" => "Users who hold the role",
        "Groups" => "Groups that hold the role",
        "ServiceAccounts" => "Service accounts that hold the role",
        "Holder" => "Who holds the lease",
        "SignerName" => "Who is asked to sign",
        "Requestor" => "Who asks",
        "RequestedDuration" => "For how long the certificate is asked for",
        "Condition" => "What was decided about the request",
        // Clients know this one without description.
        "Handler" => "",
        "Webhooks" => "Number of webhooks",
        "Value" => "The value that goes with the name",
        _ => return None,
    })
}
