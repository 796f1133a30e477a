//! `persistentvolume-attach-detach-controller`: asks CSI drivers, through VolumeAttachments, to bring volumes to the nodes of
//! their pods, and takes them away again when the kubelet has let go.
//!
//! Volumes of other types need no attaching here: what remains of them is mounted by the kubelet.

mod controller;
mod plan;

#[cfg(test)]
mod tests;

pub(crate) use controller::run;
