//! Threads that compress blocks, which come back in order.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};

use super::codec::Codec;
use super::{Compression, Hashed};

type Reply = io::Result<Vec<u8>>;

/// A block to compress, and where the result goes.
struct Job {
    block: Arc<Vec<u8>>,
    reply: SyncSender<Reply>,
}

/// Threads that compress, and one that hashes what goes in.
#[derive(Debug)]
pub(super) struct Pool {
    jobs: SyncSender<Job>,
    hashing: SyncSender<Arc<Vec<u8>>>,
    hasher: JoinHandle<[u8; 32]>,
    /// Results still to come, in order.
    pending: VecDeque<Receiver<Reply>>,
    most_pending: usize,
}

impl Pool {
    pub(super) fn start(compression: Compression, threads: usize) -> io::Result<Self> {
        let most_pending = threads + 2;
        let (jobs, queue) = sync_channel::<Job>(most_pending);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let (mut codec, queue) = (Codec::new(compression)?, Arc::clone(&queue));
            std::thread::Builder::new().name("compress".into()).spawn(move || work(&mut codec, &queue))?;
        }
        let (hashing, blocks) = sync_channel::<Arc<Vec<u8>>>(most_pending);
        let hash =
            move || blocks.iter().fold(Sha256::new(), |hasher, block| hasher.chain_update(&**block)).finalize().into();
        let hasher = std::thread::Builder::new().name("hash".into()).spawn(hash)?;
        Ok(Self { jobs, hashing, hasher, pending: VecDeque::new(), most_pending })
    }

    pub(super) fn submit(&mut self, block: Vec<u8>, out: &mut Hashed<impl Write>) -> io::Result<()> {
        if self.pending.len() == self.most_pending {
            self.write_oldest(out)?;
        }
        let block = Arc::new(block);
        let (reply, result) = sync_channel(1);
        self.hashing.send(Arc::clone(&block)).map_err(|_| thread_died())?;
        self.jobs.send(Job { block, reply }).map_err(|_| thread_died())?;
        self.pending.push_back(result);
        Ok(())
    }

    fn write_oldest(&mut self, out: &mut Hashed<impl Write>) -> io::Result<()> {
        match self.pending.pop_front() {
            Some(result) => out.write_all(&result.recv().map_err(|_| thread_died())??),
            None => Ok(()),
        }
    }

    pub(super) fn finish(mut self, out: &mut Hashed<impl Write>) -> io::Result<[u8; 32]> {
        drop(self.hashing);
        while let Some(result) = self.pending.pop_front() {
            out.write_all(&result.recv().map_err(|_| thread_died())??)?;
        }
        self.hasher.join().map_err(|_| thread_died())
    }
}

/// Compresses until there are no more jobs.
fn work(codec: &mut Codec, queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, reply }) = job else { return };
        // Nobody waits for it any more when writing failed.
        let _ = reply.send(codec.compress(&block).map(<[u8]>::to_vec));
    }
}

fn thread_died() -> io::Error {
    io::Error::other("a thread that compresses or hashes has died")
}
