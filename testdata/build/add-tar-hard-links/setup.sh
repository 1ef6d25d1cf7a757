python3 - <<"E"
import io, tarfile
def add(t, name, data=None, **more):
    i = tarfile.TarInfo(name)
    i.mtime = 1000000000
    for key, value in more.items():
        setattr(i, key, value)
    i.size = len(data or b"")
    t.addfile(i, io.BytesIO(data or b""))
with tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT) as t:
    add(t, "f", b"1", mode=0o644, uid=3, gid=4, pax_headers={"SCHILY.xattr.user.a": "1", "SCHILY.xattr.user.b": "1"})
    add(t, "g", type=tarfile.LNKTYPE, linkname="f", mode=0o4750, uid=5, gid=6, pax_headers={"SCHILY.xattr.user.b": "2"})
    add(t, "h", type=tarfile.LNKTYPE, linkname="f", mode=0o600, uid=7, gid=7, mtime=1100000000)
    add(t, "l", type=tarfile.SYMTYPE, linkname="f", uid=1, gid=1)
    add(t, "m", type=tarfile.LNKTYPE, linkname="l", uid=2, gid=2, mtime=1100000000)
E
