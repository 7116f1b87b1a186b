/** The syntax of queries; what words mean is `properties.ts`. */
import { grammar } from 'ohm-js';

export const queryGrammar = grammar(String.raw`
  FleetQuery {
    Query     = Or
    Or        = And (or And)*
    And       = Not (and Not)*
    Not       = not* Condition
    Condition = "(" Or ")"                                  -- group
              | property not? in "(" NonemptyListOf<value, ","> ")" -- in
              | property operator value                     -- compare
              | property                                    -- has

    property (a property) = ~keyword letter part*
    operator (a comparison) = "<=" | ">=" | "!=" | "==" | "=" | "<" | ">" | "~"
    value (a value) = string | number | yes
    yes       = (true | false)
    number    = numeral ~part
    numeral   = "-"? digit+ ("." digit+)?
    string    = "\"" (escape | ~("\"" | "\\") any)* "\"" -- double
              | "'" (escape | ~("'" | "\\") any)* "'"   -- single
    escape    = "\\" ("\"" | "'" | "\\")
    part      = alnum | "." | "_" | "/" | "-"

    keyword = and | or | not | in | true | false
    and ("and")     = caseInsensitive<"and"> ~part
    or ("or")       = caseInsensitive<"or"> ~part
    not ("not")     = caseInsensitive<"not"> ~part
    in ("in")       = caseInsensitive<"in"> ~part
    true      = caseInsensitive<"true"> ~part
    false     = caseInsensitive<"false"> ~part
  }
`);
