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
    add(t, "f", b"1")
    add(t, "e/h", type=tarfile.LNKTYPE, linkname="../../../f")
    add(t, "l", type=tarfile.SYMTYPE, linkname="../../f")
E
