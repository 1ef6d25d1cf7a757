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
    add(t, "deep/er/f", b"1", mode=0o4755, uid=3, gid=4)
    add(t, "h", type=tarfile.LNKTYPE, linkname="deep/er/f", mode=0o4755, uid=3, gid=4)
    add(t, "l", type=tarfile.SYMTYPE, linkname="/nowhere")
    add(t, "p", type=tarfile.FIFOTYPE, mode=0o600)
E
