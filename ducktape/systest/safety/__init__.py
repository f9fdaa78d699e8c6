"""Whether the producer is safe: nothing leaks, nothing is lost, nothing reads or writes memory that is not its own.

`systest safety soak` sends records of every kind and fate for as long as asked and judges what the process holds;
`sanitizer` and `allocator` run the producer's tests and a short soak where a wrong access to memory is seen.
"""
