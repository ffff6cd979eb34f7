//! LogLoss, AUC, PRAUC and RCE.
