//! Sockets between a caller, the launcher and a box.
//!
//! Messages that carry descriptors are datagrams (`SOCK_SEQPACKET`); what may be long is framed on a stream.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};

/// The most descriptors that one message carries.
const MAX_DESCRIPTORS: usize = 8;
/// A frame is never longer: the largest specification has a few MiB of arguments, and data mounts.
const MAX_FRAME: u64 = 1 << 30;

pub(crate) fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

pub(crate) fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Sends a few bytes (at least one) with `descriptors`.
pub(crate) fn send_packet(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    retry(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)).map(drop)
}

/// Receives bytes into `buffer` with the descriptors that came along; no bytes mean that the other end is closed.
pub(crate) fn receive_packet(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = retry(|| recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC))?;
    let mut descriptors = Vec::new();
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = item {
            descriptors.extend(rights);
        }
    }
    Ok((message.bytes, descriptors))
}

/// Writes a length and `bytes`.
pub(crate) fn send_frame(socket: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut parts = [IoSlice::new(&length), IoSlice::new(bytes)];
    let mut parts = &mut parts[..];
    let mut left = length.len() + bytes.len();
    while left > 0 {
        let mut control = SendAncillaryBuffer::default();
        let sent = retry(|| sendmsg(&socket, parts, &mut control, SendFlags::NOSIGNAL))?;
        IoSlice::advance_slices(&mut parts, sent);
        left -= sent;
    }
    Ok(())
}

/// Reads what [`send_frame`] wrote; `None` if the other end was closed instead.
pub(crate) fn receive_frame(socket: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    if !fill(&socket, &mut length)? {
        return Ok(None);
    }
    let length = u64::from_le_bytes(length);
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length as usize];
    Ok(fill(&socket, &mut bytes)?.then_some(bytes))
}

/// Fills `buffer`; false if the other end closes before it is full.
fn fill(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<bool> {
    let mut done = 0;
    while done < buffer.len() {
        let result = retry(|| recv(&socket, &mut buffer[done..], RecvFlags::WAITALL).map(|(_, count)| count));
        match result {
            Ok(0) => return Ok(false),
            Ok(count) => done += count,
            // What the other end had not read yet when it was closed turns its end of file into this.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Sends the one byte with a descriptor that follows a frame announcing it.
pub(crate) fn send_descriptor(socket: impl AsFd, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    send_packet(socket, &[0], &[descriptor])
}

/// Receives what [`send_descriptor`] sent.
pub(crate) fn receive_descriptor(socket: impl AsFd) -> io::Result<OwnedFd> {
    let (_, mut descriptors) = receive_packet(socket, &mut [0])?;
    descriptors.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_frames_pass_and_an_end_is_noticed() {
        let (here, there) = stream_pair().unwrap();
        let body: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        let copy = body.clone();
        let sender = std::thread::spawn(move || {
            send_frame(&there, &copy).unwrap();
            send_frame(&there, b"").unwrap();
        });
        assert_eq!(receive_frame(&here).unwrap().unwrap(), body);
        assert_eq!(receive_frame(&here).unwrap().unwrap(), b"");
        sender.join().unwrap();
        assert!(receive_frame(&here).unwrap().is_none());
    }

    #[test]
    fn descriptors_arrive_with_their_bytes() {
        let (here, there) = packet_pair().unwrap();
        let (read, write) = stream_pair().unwrap();
        send_packet(&there, b"hi", &[write.as_fd(), there.as_fd()]).unwrap();
        drop(write);
        let mut buffer = [0; 8];
        let (count, descriptors) = receive_packet(&here, &mut buffer).unwrap();
        assert_eq!((&buffer[..count], descriptors.len()), (&b"hi"[..], 2));
        send_frame(&descriptors[0], b"through").unwrap();
        assert_eq!(receive_frame(&read).unwrap().unwrap(), b"through");
    }
}
