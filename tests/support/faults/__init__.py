"""What can go wrong with an upstream, what must follow from it, and a house in which it does go wrong.

`wording` says an answer, whole or not, in each dialect; `table` is the list of faults, `rules` what follows
from each; `places` are the sockets at which a fault is met; `cell` plays one fault in one house, `verdict`
judges all that can be seen of it; `storm` plays many at random; `page` writes ``docs/failures.md`` from the
table and the rules.
"""
