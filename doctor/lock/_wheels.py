"""A script for the tool environment's Python: which wheels of these pins fit here, with their hashes and sizes.

pip itself looks, so that its whole configuration holds (indexes, find-links, proxy, certificates, keyring). pip-tools'
own way to hashes asks the index for JSON, and downloads every file of every platform where there is none.
Input, one JSON object on stdin: {name: version, or null to be told only what there is}. Output, on the last line:
{name: {"wheels": [{"file", "sha256", "size_bytes"}], "versions": [of wheels that fit], "source_versions": [...]}}.
"""

import hashlib
import json
import pathlib
import sys
from typing import Any, Dict

from pip._internal.commands import create_command
from pip._vendor.packaging.version import Version

BLOCK_BYTES = 1 << 20


def wheel(link: Any, session: Any) -> Dict[str, Any]:
    """File name, sha256 and size of one wheel; only what the index does not tell is fetched."""
    digest = link.hash if link.hash_name == "sha256" else None
    if link.is_file:
        data = pathlib.Path(link.file_path).read_bytes()
        return {"file": link.filename, "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    plain = {"Accept-Encoding": "identity"}
    if digest:
        try:
            told = session.head(link.url_without_fragment, headers=plain, allow_redirects=True)
            size = int(told.headers.get("Content-Length", 0)) if told.status_code == 200 else 0
        except Exception:  # a size is a kindness, never a condition
            size = 0
        return {"file": link.filename, "sha256": digest, "size_bytes": size}
    seen, size = hashlib.sha256(), 0
    answer = session.get(link.url_without_fragment, headers=plain, stream=True)
    answer.raise_for_status()
    for block in answer.iter_content(BLOCK_BYTES):
        seen.update(block)
        size += len(block)
    return {"file": link.filename, "sha256": seen.hexdigest(), "size_bytes": size}


def main() -> None:
    """Answer for every name."""
    command: Any = create_command("install")
    options, _ = command.parse_args([])
    with command.main_context():
        session = command._build_session(options)
        finder = command._build_package_finder(options=options, session=session)
        told = {}
        for name, version in json.load(sys.stdin).items():
            found = finder.find_all_candidates(name)
            wheels = [item for item in found if item.link.is_wheel]
            chosen = [item.link for item in wheels if version and item.version == Version(version)]
            files = {link.filename: link for link in reversed(chosen)}
            told[name] = {
                "wheels": [wheel(files[file], session) for file in sorted(files)],
                "versions": [str(v) for v in sorted({item.version for item in wheels})],
                "source_versions": [
                    str(v) for v in sorted({i.version for i in found if not i.link.is_wheel})
                ],
            }
    print("\n" + json.dumps(told))


if __name__ == "__main__":
    main()
