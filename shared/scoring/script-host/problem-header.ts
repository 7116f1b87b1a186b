/** What script host and scoring host say to each other beside what a client would see. */

/** The code of a failure whose body is already in the client's form; of a stream, in its trailers. */
export const problemHeader = 'flotilla-problem';

/** The method of the client's request, which comes as POST. */
export const methodHeader = 'flotilla-method';

export const eventStreamType = 'text/event-stream';
