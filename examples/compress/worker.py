"""The same worker in Python: ``worker.py [NAME]``. It shares the work with those in TypeScript."""

import gzip
import hashlib
import signal
import sys

import ipcnet

name = sys.argv[1] if len(sys.argv) > 1 else "Python worker"
signal.signal(signal.SIGTERM, signal.default_int_handler)

try:
    with ipcnet.connect(name=name) as client:

        @client.offer("compress", group="workers", description="file → file.gz")
        def compress(body, call):
            header = ipcnet.media.decode("file", body)
            with call.take_fd() as fd:
                # Seals, size and SHA-256 are checked.
                small = gzip.compress(ipcnet.file_of(header, fd).content, 6)
            reply = ipcnet.File(f"{header.name}.gz", None, "application/gzip", len(small), hashlib.sha256(small).digest())
            return ipcnet.Reply({"file": ipcnet.media.encode(reply), "worker": name}, [ipcnet.seal_bytes(small)])

        print(name, "works", flush=True)
        client.run()
except KeyboardInterrupt:
    pass
except ipcnet.IpcnetError as error:
    sys.exit(f"{name}: {error}")
