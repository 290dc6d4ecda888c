//! The command `seedbed`. Everything that it does is in the library, where tests and benches reach it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    seedbed_sim::cli::main()
}
