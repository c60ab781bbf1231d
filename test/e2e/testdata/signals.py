"""A program that reports each signal it receives, until its input says goodbye."""
import os, signal, sys, threading

all_of = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
signal.pthread_sigmask(signal.SIG_BLOCK, all_of)
said = open(sys.argv[1]) if len(sys.argv) > 1 else sys.stdin
if os.isatty(1) and os.isatty(2):
    print(os.get_terminal_size(1).lines, os.get_terminal_size(1).columns)
print("ready", flush=True)

got = 0


def tell():
    global got
    while True:
        sig = signal.sigwait(all_of)
        got += 1
        print("got", sig.name, got, flush=True)


threading.Thread(target=tell, daemon=True).start()
for line in said:
    if line.strip() == "goodbye":
        break
while signal.sigpending() & all_of:
    pass
print("goodbye after", got, flush=True)
os._exit(9)
