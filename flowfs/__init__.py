"""flowfs mounts the TCP flows of a network as files.

    cli       argv -> Config -> one call           config    every setting, each range checked once
    app       one trio nursery runs the house      capture   interfaces and files -> batches of packets
    dissect   rare frames -> the IP packet inside  core      packets -> flows -> bytes, within a budget
    tree      what the directory looks like        mount     the kernel's requests -> the tree
    early     what begins while the rest is loaded complaints  what people are told once
    archive   flows -> files that stay             keeper    when they are saved
    called    how people call the program          ending    what is told to who unmounts
    mountpoint what is mounted, and where          interfaces what there is to capture on

Data goes one way: capture -> core <- tree <- mount. Nothing on the left knows of a file system, and
nothing on the right knows TCP. `core` is compiled where a compiler was at hand and runs as it is elsewhere.
"""

__version__ = "0.1.0"
