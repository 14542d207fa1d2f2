"""The formats of the APIs: the only modules of the core, with `core.repair`, that know their JSON.

`entries` and `calls` are the parts of a conversation that the moves work on, `format` is the
interface that each API's folder implements, and `endpoints` says which path has which format.
"""
