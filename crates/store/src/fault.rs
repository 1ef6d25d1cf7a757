//! The points between file operations at which a test ends the process or makes the next operation fail.

#[cfg(not(test))]
pub(crate) fn point() -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use armed::{Fault, arm, disarm, point};

#[cfg(test)]
mod armed {
    use std::cell::Cell;
    use std::io;

    /// What happens at a point.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) enum Fault {
        /// The process is killed.
        Kill,
        /// The operation fails with this errno, once.
        Fail(i32),
    }

    thread_local! {
        static PLAN: Cell<Option<(u64, Fault)>> = const { Cell::new(None) };
    }

    /// Lets `points` operations of this thread pass, then does `fault`.
    pub(crate) fn arm(points: u64, fault: Fault) {
        PLAN.set(Some((points, fault)));
    }

    /// Takes the plan back; true if it was still waiting for its point.
    pub(crate) fn disarm() -> bool {
        PLAN.take().is_some()
    }

    pub(crate) fn point() -> io::Result<()> {
        let Some((left, fault)) = PLAN.get() else { return Ok(()) };
        if left > 0 {
            PLAN.set(Some((left - 1, fault)));
            return Ok(());
        }
        PLAN.set(None);
        match fault {
            Fault::Kill => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                unreachable!("the process was killed");
            }
            Fault::Fail(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
