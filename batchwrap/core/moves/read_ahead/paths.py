"""Decides which files may be read without being asked for.

The names come from texts that anybody may have written. Such a text must not be able to lead
read-ahead to a secret, to another machine, or out of the folders in which the model works. So only
ordinary source and text files count; all others are left to the model.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass

from batchwrap.core.tools.find import words_of

_LONGEST = 300
_ROOT = re.compile(r"(?:[A-Za-z]:)?/|")
# One part of a path: no hidden file, glob, variable, option, drive, stream or URL.
_PLAIN = re.compile(r"[\w@+(](?:[\w .@+()-]*[\w@+)-])?")
_FOLDERS = frozenset({"node_modules", "__pycache__"})
_SECRET = re.compile(
    r"secret|credential|passw(?:or)?d|passphrase|api_?key|private_?key|service_?account"
    r"|keystore|kubeconfig|^id_(?:rsa|dsa|ecdsa|ed25519)"
)
_SECRET_WORDS = frozenset({"token", "tokens", "key", "keys", "pwd"})
# Extensions that are never read, after any dot of a name ("key.pem.txt", "x.tar.gz"), and
# extensions that are certainly text.
_NEVER, _TEXT = (
    frozenset(extensions.split())
    for extensions in (
        """asc crt cer der env gpg jks kdbx key keychain keystore keytab ovpn p12 p7b pem pfx
        pgp ppk secret tfstate tfvars 7z a apk avi avif bin bmp bz2 class dat db dll dmg doc
        docx dylib ear eot exe flac gif gz heic ico iso jar jpeg jpg lib lz4 map min mkv mov mp3
        mp4 npy npz o obj ogg onnx otf parquet pdf pickle pkl png ppt pptx psd pt pth pyc pyd
        rar safetensors so sqlite sqlite3 tar tgz tif tiff ttf war wasm wav webm webp whl woff
        woff2 xls xlsx xz zip zst""",
        """adoc asm astro bash bat bzl c cc cfg cjs clj cljs cmake cmd coffee conf cpp cr cs
        cshtml css csv cts cu cuh cxx d dart diff dts edn eex el elm erb erl ex exs f f90 fish
        fs fsx gd glsl go gql gradle graphql groovy h haml hbs hcl heex hh hlsl hpp hrl hs htm
        html hxx inc ini ipp j2 java jinja jl js json json5 jsonc jsx kt kts less lisp log lua m
        md mdx mjs mk ml mli mm mts nim nix org pas patch php phtml pl pm po pp prisma
        properties proto ps1 pug purs pxd py pyi pyx r rake rb re rkt rs rst s sass sbt scala
        scm scss sh sol sql styl sv svelte swift tcl templ tex tf thrift toml ts tsx txt v vala
        vb vhd vhdl vim vue wgsl xml xsd yaml yml zig zsh""",
    )
)
_NAMES = frozenset({"Dockerfile", "Gemfile", "Jenkinsfile", "Makefile", "Procfile", "Rakefile"})


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path, split into its parts.

    Attributes:
        root: ``"/"``, ``"C:/"``, or empty for a relative path.
        parts: the folders and the file, never ``.`` or ``..``; empty for the root itself.
    """

    root: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return self.root + "/".join(self.parts)

    @property
    def name(self) -> str:
        """The file's name in its folder."""
        return self.parts[-1] if self.parts else ""

    @property
    def extension(self) -> str:
        """The part after the last dot of its name, in lower case; empty without a dot."""
        return self.name.casefold().rpartition(".")[2] if "." in self.name else ""

    @property
    def folder(self) -> FilePath:
        """The folder that it is in."""
        return FilePath(self.root, self.parts[:-1])

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """A key that is equal for paths that may be the same file: they may differ in case."""
        return self.root.casefold(), tuple(part.casefold() for part in self.parts)

    def join(self, *parts: str) -> FilePath:
        """The path of a file or folder in this folder."""
        return FilePath(self.root, self.parts + parts)


@functools.lru_cache(maxsize=8_192)  # each request repeats all paths of the conversation
def parse(text: str) -> FilePath | None:
    """The path in a text; None for a folder, a network path, ``..``, or anything else."""
    slashed = text.replace("\\", "/")
    if not 0 < len(text) <= _LONGEST or not text.isprintable() or slashed.startswith("//"):
        return None
    root = _ROOT.match(slashed)
    assert root is not None  # the pattern also matches an empty text
    parts = tuple(part for part in slashed[root.end() :].split("/") if part not in ("", "."))
    if not parts or slashed.endswith("/") or ".." in parts:
        return None
    return FilePath(root[0], parts)


@functools.lru_cache(maxsize=8_192)
def is_harmless(path: FilePath) -> bool:
    """Whether no part of a path is hidden, may be a secret, or is certainly not text."""
    if len(str(path)) > _LONGEST or not _FOLDERS.isdisjoint(path.key[1]):
        return False
    if not all(map(_PLAIN.fullmatch, path.parts)) or any(map(_looks_secret, path.parts)):
        return False
    # Words of prose around a name must not become part of a relative path.
    is_prose = not path.root and " " in str(path)
    return not is_prose and _NEVER.isdisjoint(path.name.casefold().split(".")[1:])


def is_source(path: FilePath) -> bool:
    """Whether a name in a text is certainly that of a text file, and harmless."""
    return (path.extension in _TEXT or path.name in _NAMES) and is_harmless(path)


def is_near(path: FilePath, folders: Collection[FilePath]) -> bool:
    """Whether a file is in or below one of the folders. A root counts only for files in itself."""
    least = 0 if len(path.parts) == 1 else 1
    return any(
        FilePath(path.root, path.parts[:length]) in folders
        for length in range(least, len(path.parts))
    )


def _looks_secret(part: str) -> bool:
    """Whether a part of a path may name a secret, judged by its words."""
    folded = part.casefold()
    words = {*words_of(part), *words_of(folded)}
    joined = folded.replace("-", "_").replace(" ", "_").replace(".", "_")
    return _SECRET.search(joined) is not None or not _SECRET_WORDS.isdisjoint(words)
