python3 - <<"P"
import io, tarfile
for archive, name in ("slash", "/"), ("dot", "./"), ("climbs", ".."):
    with tarfile.open(archive + ".tar", "w", format=tarfile.PAX_FORMAT) as t:
        i = tarfile.TarInfo(name)
        i.type, i.mode, i.uid, i.gid, i.mtime = tarfile.DIRTYPE, 0o1750, 3, 4, 1000000000
        t.addfile(i)
        i = tarfile.TarInfo("f")
        i.size, i.mtime = 1, 1000000001
        t.addfile(i, io.BytesIO(b"1"))
P
