/** As images name this machine's processor. */
export const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
