"""Dead letters for operators: found, judged anew, published again or put away."""
