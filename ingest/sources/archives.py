"""What the standard library raises over an archive that is damaged, or packed in a way that it cannot unpack."""

import lzma
import zipfile
import zlib

# RuntimeError: a password is needed. NotImplementedError: a compression of the future.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)
