/** Where an installed control plane keeps what it knows, and as whom it runs. */
export const stateFolder = '/var/lib/flotilla';
export const account = 'flotilla';
