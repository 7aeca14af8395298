"""One kit of child processes: every command that runs a model runs it here.

Promises, alike for counting, auditing and measuring: between processes only plain data of bounded
size (``wire``); limits of time, memory, file size, processes and threads (``limits``); an import
path on which no file of the current folder stands in for a module (``boot``); a session of its own,
closed standard input, captured output of which the end is kept (``process``); a private temporary
folder that is removed, and nothing that outlives the command, whatever ends it (``keeper``).
``zygote`` forks such processes in milliseconds; ``folders`` are the command's own and go with it. A
*service* is what a child does: a function without arguments that returns the function which answers
one request after another. Knows nothing of models, counters and clocks.
"""
