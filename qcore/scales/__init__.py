"""Methods that find a weight's scales; `qcore.scales.find` names them."""
