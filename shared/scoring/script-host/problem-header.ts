/** Between script host and scoring host: the code of a failure whose body is already in the client's form. */
export const problemHeader = 'flotilla-problem';
