/** Makes an identifier that no other call, on any machine, has made. */
export type NewId = () => string;

/** A random number in [0, 1), as Math.random gives it; a port so that plans can be replayed. */
export type Random = () => number;
