"""One OpenAI Responses endpoint on a dev box for every model it can reach.

Coding agents and SDKs talk to the daemon; provider plugins talk to OpenAI, to local servers and to an
embedded model; between them a router spreads the work and moves on when a target fails.
"""

# The floors, lowest first; imports only fall (checked by import-linter, setup.cfg):
#
#   0  errors, request, events, deltas      the words: what is said
#   1  protocol/                            sans-IO: bytes and objects in, bytes and objects out
#   2  providers/                           the contract of a provider, hooks, registry, catalogue
#      upstream/                            talking to upstreams over HTTP, in either dialect
#      plugin                               the one module that a plugin imports
#   3  routing/                             choosing targets and trying them in turn
#   4  server/                              the front door: aiohttp.web
#      config, logs, daemon, cli            the roof: assembly

__version__ = "0.1.0"
