from tortoise import fields, migrations
from tortoise.migrations import operations as ops

# Names of people were free text before, so the prefix alone does not show that a rule decided.
BY_POLICY = """
UPDATE approvals SET decided_by_policy = substr(decided_by, 8)
WHERE decided_by LIKE 'policy:%' AND id NOT IN (SELECT approval_id FROM decisions)
"""


class Migration(migrations.Migration):
    dependencies = [("models", "0005_provider_state")]
    initial = False

    operations = [
        ops.AddField(model_name="User", name="pending_email", field=fields.CharField(max_length=320, null=True)),
        ops.CreateModel(
            name="FormerName",
            fields=[
                ("row", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.CharField(max_length=64)),
                ("name", fields.CharField(max_length=320)),
                ("created_at", fields.BigIntField()),
            ],
            options={
                "table": "former_names",
                "app": "models",
                "unique_together": (("user_id", "name"),),
                "pk_attr": "row",
            },
            bases=["Model"],
        ),
        ops.AddField(
            model_name="Approval", name="decided_by_policy", field=fields.CharField(max_length=100, null=True)
        ),
        ops.RunSQL(sql=BY_POLICY, reverse_sql="SELECT 1"),
    ]
