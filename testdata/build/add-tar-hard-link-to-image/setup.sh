printf kept > kept
python3 - <<"P"
import io, tarfile
def add(t, name, data=None, **more):
    i = tarfile.TarInfo(name)
    i.mtime = 1000000000
    for key, value in more.items():
        setattr(i, key, value)
    i.size = len(data or b"")
    t.addfile(i, io.BytesIO(data or b""))
with tarfile.open("a.tar", "w", format=tarfile.PAX_FORMAT) as t:
    add(t, "l", type=tarfile.SYMTYPE, linkname="s")
    add(t, "h", type=tarfile.LNKTYPE, linkname="l/f", mode=0o4750, uid=5, gid=6)
    add(t, "s/h", type=tarfile.LNKTYPE, linkname="/g", mode=0o600)
P
