"""From config files and flags to one resolved configuration; neither torch nor Lightning is imported before a class is named.

`files` finds them, `reading` reads them safely, `naming` turns short names into import paths, `merging` lays one over another,
`scaling` asks each class what `scale: tiny` means for it, `flags` reads the command line, `checking` finds keys that no class has,
and `compose` does all of it in order.
"""
