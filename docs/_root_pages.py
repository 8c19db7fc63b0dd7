"""MkDocs hook: pages of the site that stand at the root of the repository, where people and tools look for them."""

import pathlib

from mkdocs.structure.files import File

PAGES = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_files(files, *, config):
    root = pathlib.Path(config.config_file_path).parent
    for page, source in PAGES.items():
        text = (root / source).read_text().replace("](docs/", "](")
        for linked, name in PAGES.items():
            text = text.replace(f"]({name}", f"]({linked}")
        files.append(File.generated(config, page, content=text))
    return files
