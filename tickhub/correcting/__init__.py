"""Corrects what is stored where a broker's clock was not what had been configured: day by day, one transaction each."""
