//! Where the programs run: the two sides of each endpoint's host interface.
//!
//! There are two ways to attach them, and an agent may find what another one has attached the other
//! way: that one ran on `--hook`, or is a version that did not know TCX. Its programs go once those
//! of this agent are in place on both sides. Meanwhile both judge, by the same maps.

use std::collections::BTreeSet;

use netpol_api::Hook;
use rtnetlink::Handle;

use super::{
    clsact,
    error::HookError,
    load::{PinDirs, Program, Programs},
    tcx,
};

/// A side of an interface, as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// What comes in from the pod.
    Ingress,
    /// What goes out to the pod.
    Egress,
}

impl Side {
    /// Both, in the order in which they are attached.
    pub(crate) const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The side as pins are named.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// What had to be done to have a program in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Done {
    /// It was there.
    #[default]
    Nothing,
    /// It is new on the interface.
    Attached,
    /// Another program of ours was there, and was replaced in place.
    Replaced,
    /// What should have been there was not.
    Repaired,
}

/// The hooks of this network namespace.
pub(crate) struct Hooks {
    hook: Hook,
    dirs: PinDirs,
    programs: Programs,
    netlink: Handle,
}

impl Hooks {
    pub(crate) fn new(hook: Hook, dirs: PinDirs, programs: Programs, netlink: Handle) -> Self {
        Self {
            hook,
            dirs,
            programs,
            netlink,
        }
    }

    /// How programs are attached.
    pub(crate) fn hook(&self) -> Hook {
        self.hook
    }

    /// Makes sure that both programs run first on an interface, and that those of the other way are
    /// gone from where they were new.
    pub(crate) async fn ensure(&self, ifindex: u32) -> Result<Done, HookError> {
        let done = self.attach(ifindex).await?;
        if done != Done::Nothing {
            self.remove_other(ifindex).await?;
        }
        Ok(done)
    }

    /// The same for an interface that this agent has not looked at before.
    pub(crate) async fn take_over(&self, ifindex: u32) -> Result<Done, HookError> {
        let done = self.attach(ifindex).await?;
        self.remove_other(ifindex).await?;
        Ok(done)
    }

    async fn attach(&self, ifindex: u32) -> Result<Done, HookError> {
        let mut done = Done::Nothing;
        for side in Side::BOTH {
            let program = self.program(side);
            done = done.max(match self.hook {
                Hook::Tcx => tcx::ensure(&self.dirs.links, ifindex, side, program)?,
                Hook::Clsact => {
                    let qdiscs = &self.dirs.qdiscs;
                    clsact::ensure(&self.netlink, qdiscs, ifindex, side, program).await?
                }
            });
        }
        Ok(done)
    }

    /// Detaches an interface that is no endpoint's any more.
    pub(crate) async fn remove(&self, ifindex: u32) -> Result<(), HookError> {
        for side in Side::BOTH {
            tcx::remove(&self.dirs.links, ifindex, side)?;
            clsact::remove(&self.netlink, ifindex, side).await?;
        }
        clsact::remove_qdisc(&self.netlink, &self.dirs.qdiscs, ifindex).await?;
        Ok(())
    }

    /// Forgets an interface that is gone; the kernel has detached it already.
    pub(crate) fn forget(&self, ifindex: u32) -> Result<(), HookError> {
        for side in Side::BOTH {
            tcx::remove(&self.dirs.links, ifindex, side)?;
        }
        clsact::forget_qdisc(&self.dirs.qdiscs, ifindex)
    }

    /// Removes what the other way of attaching has left on an interface, once this one holds.
    ///
    /// A clsact qdisc stays, empty: to add or remove one the kernel stops the interface for some
    /// milliseconds (`qdisc_graft` calls `dev_deactivate`), and drops what is sent to the pod. It
    /// goes with the interface, or when programs of either way are removed.
    async fn remove_other(&self, ifindex: u32) -> Result<(), HookError> {
        for side in Side::BOTH {
            match self.hook {
                Hook::Tcx => drop(clsact::remove(&self.netlink, ifindex, side).await?),
                Hook::Clsact => drop(tcx::remove(&self.dirs.links, ifindex, side)?),
            }
        }
        Ok(())
    }

    /// The interfaces on which programs of ours are, or were when they vanished.
    pub(crate) async fn interfaces(&self) -> Result<BTreeSet<u32>, HookError> {
        let mut found: BTreeSet<u32> = tcx::interfaces(&self.dirs.links)?.into_iter().collect();
        found.extend(clsact::interfaces(&self.netlink).await?);
        Ok(found)
    }

    /// The interfaces on which programs of ours are now.
    pub(crate) async fn attached(&self) -> Result<BTreeSet<u32>, HookError> {
        let mut found: BTreeSet<u32> = tcx::attached(&self.dirs.links)?.into_iter().collect();
        found.extend(clsact::interfaces(&self.netlink).await?);
        Ok(found)
    }

    /// The program names the side of the *interface*; what comes in there comes from the pod.
    fn program(&self, side: Side) -> &Program {
        match side {
            Side::Ingress => &self.programs.from_endpoint,
            Side::Egress => &self.programs.to_endpoint,
        }
    }
}
